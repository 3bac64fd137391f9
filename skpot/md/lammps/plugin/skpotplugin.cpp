// What LAMMPS calls when it loads the plugin. Its header for plugins is not installed with it;
// the interface (LAMMPS manual, "Writing plugins") is declared here.

#include <cstdio>

#include "library.h"
#include "pair_skpot.h"

namespace {

struct Registration {
  const char *version, *style, *name, *info, *author;
  void *(*create)(void *lammps);    // a union with other kinds of factories, all pointers
  void *handle;
};
using Register = void (*)(Registration *, void *lammps);

void *create_pair(void *lammps)
{
  return static_cast<LAMMPS_NS::Pair *>(
      new skpot::PairSkpot(static_cast<LAMMPS_NS::LAMMPS *>(lammps)));
}

}    // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lammps, void *handle,
                                                                         void *add)
{
  // The classes of another version may have another memory layout; only C functions are safe.
  const int version = lammps_version(lammps);
  if (version != SKPOT_LAMMPS_VERSION) {
    char text[256];
    snprintf(text, sizeof text,
             "pair_style skpot is not available: its plugin was built for LAMMPS %d, this is %d; "
             "run: skpot lammps build-plugin",
             SKPOT_LAMMPS_VERSION, version);
    if (lammps_extract_setting(lammps, "world_rank") == 0)
      lammps_error(lammps, LMP_ERROR_WARNING, text);
    return;
  }
  Registration pair = {SKPOT_LAMMPS_NAME, "pair", "skpot", "skpot " SKPOT_VERSION,
                       "skpot developers", create_pair, handle};
  reinterpret_cast<Register>(add)(&pair, lammps);
}
