"""calorine's side of potentials.py: a neuroevolution potential on the CPU.

Its numbers are random, since the time that it takes does not depend on them; its sizes are the
defaults of the program that trains such potentials.
"""

import sys
import tempfile
from pathlib import Path

from _work import potential_step, read_systems, report

HEAD = """nep4 1 Si
cutoff {radial} {angular} 100 60
n_max 4 4
basis_size 8 8
l_max 4 2 0
ANN 30 0
"""
N_FEATURES = 5 + 5 * (4 + 1)  # radial, angular
N_NUMBERS = (N_FEATURES + 2) * 30 + 1 + 2 * 5 * 9


def predict(system, rounds, radial, angular):
    """Cost per atom on a system."""
    import numpy as np
    from calorine.calculators import CPUNEP

    numbers = np.random.default_rng(0).normal(scale=0.1, size=N_NUMBERS)
    lines = [f"{x:.7e}" for x in (*numbers, *np.ones(N_FEATURES))]
    frames = next(iter(read_systems(system).values()))[:1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nep.txt"
        path.write_text(HEAD.format(radial=radial, angular=angular) + "\n".join(lines) + "\n")
        calculator = CPUNEP(str(path))

        def evaluate(atoms):
            atoms.calc = calculator
            return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()

        if not all(np.isfinite(part).all() for part in evaluate(frames[0].copy())):
            sys.exit("the random potential has no finite energy, forces or stress")
        step = potential_step(frames[0].copy(), evaluate)
        report(f"NEP, {radial} and {angular} Å", frames, step, int(rounds))


if __name__ == "__main__":
    predict(*sys.argv[1:])
