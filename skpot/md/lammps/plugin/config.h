// What must agree with skpot; tests/md/lammps/test_build.py compares it.

#ifndef SKPOT_CONFIG_H
#define SKPOT_CONFIG_H

#define SKPOT_ABI 3                // interface of exported models, ABI of skpot/core/aot.py
#define SKPOT_MIN_DISTANCE 0.32    // Angstrom, MIN_DISTANCE of skpot.data

#ifndef SKPOT_VERSION
#define SKPOT_VERSION "of unknown version"
#endif

#endif
