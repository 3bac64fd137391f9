// What LAMMPS calls when it loads the plugin. Its header for plugins is not installed with it;
// the interface (LAMMPS manual, "Writing plugins") is declared here.

#include <cstring>
#include <string>

#include <mpi.h>

#include "config.h"
#include "library.h"
#include "pair_skpot.h"

namespace {

struct Registration {
  const char *version, *style, *name, *info, *author;
  void *(*create)(void *lammps);    // a union with other kinds of factories, all pointers
  void *handle;
};
using Register = void (*)(Registration *, void *lammps);

template <bool with_suffix> void *create_pair(void *lammps)
{
  return static_cast<LAMMPS_NS::Pair *>(
      new skpot::PairSkpot(static_cast<LAMMPS_NS::LAMMPS *>(lammps), with_suffix));
}

// What the MPI library of this process says of itself; its kind must be that of the header.
bool is_other_mpi()
{
  static char text[16384];    // more than the longest of any MPI
  int length = 0;
  MPI_Get_library_version(text, &length);
  const bool runs_open_mpi = strstr(text, "Open MPI") != nullptr;
#ifdef OPEN_MPI
  return !runs_open_mpi;
#else
  return runs_open_mpi;
#endif
}

// Returns why the plugin cannot be used by this LAMMPS. The classes of another version may have
// another memory layout; only C functions are safe.
std::string problem(void *lammps)
{
  const int version = lammps_version(lammps);
  if (version != SKPOT_LAMMPS_VERSION)
    return "its plugin was built for LAMMPS " + std::to_string(SKPOT_LAMMPS_VERSION) +
        ", this is " + std::to_string(version);
  const int size = lammps_extract_setting(lammps, "tagint");
  if (size != (int) sizeof(LAMMPS_NS::tagint))
    return "its plugin was built for atom IDs of " + std::to_string(sizeof(LAMMPS_NS::tagint)) +
        " bytes, this LAMMPS has " + std::to_string(size) + " (LAMMPS_BIGBIG)";
  if (is_other_mpi()) return "its plugin was built for another MPI library than LAMMPS runs with";
  return "";
}

}    // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lammps, void *handle,
                                                                         void *add)
{
  const std::string reason = problem(lammps);
  if (!reason.empty()) {
    const std::string text =
        "pair_style skpot is not available: " + reason + "; run: skpot lammps build-plugin";
    if (lammps_extract_setting(lammps, "world_rank") == 0)
      lammps_error(lammps, LMP_ERROR_WARNING, text.c_str());
    return;
  }
  Registration pair = {SKPOT_LAMMPS_NAME, "pair", "skpot", "skpot " SKPOT_VERSION,
                       "skpot developers", create_pair<false>, handle};
  reinterpret_cast<Register>(add)(&pair, lammps);
  pair.name = "skpot/omp";    // which `-suffix omp` makes of it
  pair.create = create_pair<true>;
  reinterpret_cast<Register>(add)(&pair, lammps);
}
