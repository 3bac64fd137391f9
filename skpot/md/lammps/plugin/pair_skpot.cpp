#include "pair_skpot.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "atom.h"
#include "comm.h"
#include "config.h"
#include "compute.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "in_order.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace skpot {

// What is wrong with a block. Threads throw it, since only the first may end the run.
class Problem : public std::runtime_error {
 public:
  template <class... Args>
  explicit Problem(const char *text, const Args &...args) :
      std::runtime_error(fmt::format(fmt::runtime(text), args...))
  {
  }
};

PairSkpot::PairSkpot(LAMMPS *lmp, bool with_suffix) : Pair(lmp), with_suffix(with_suffix)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  centroidstressflag = CENTROID_AVAIL;
}

PairSkpot::~PairSkpot()
{
  if (copymode || !allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

// pair_style skpot model.so threads 2
void PairSkpot::settings(int narg, char **arg)
{
  if (narg != 1 && !(narg == 3 && strcmp(arg[1], "threads") == 0))
    error->all(FLERR, "pair_style skpot takes the library of a model, and 'threads N' if it shall "
               "use several, got {} arguments; skpot export lammps writes a library", narg);
  n_threads = narg == 3 ? utils::inumeric(FLERR, arg[2], false, lmp) : with_suffix ? 0 : 1;
  if (narg == 3 && n_threads < 1)
    error->all(FLERR, "pair_style skpot: threads must be at least 1, got {}", arg[2]);
  const std::string path = utils::get_potential_file_path(arg[0]);
  const std::string problem = path.empty()
      ? std::string("it is neither here nor in LAMMPS_POTENTIALS; write it with: skpot export "
                    "lammps model.skpot -o ") + arg[0]
      : model.open(path);
  // The ranks agree on whether there is an error, since the file may be missing on one node only.
  int failed = !problem.empty(), any_failed = 0;
  MPI_Allreduce(&failed, &any_failed, 1, MPI_INT, MPI_MAX, world);
  if (any_failed)
    error->all(FLERR, "pair_style skpot: {} cannot be used: {}", arg[0],
               failed ? problem : "it fails on another rank");
  blocks.clear();    // their work space is for the model before
  // Indices of species belong to another model now, so that pair_coeff must be given again.
  for (int a = 1; allocated && a <= atom->ntypes; a++)
    for (int b = 1; b <= atom->ntypes; b++) setflag[a][b] = 0;
  if (comm->me == 0)
    utils::logmesg(lmp, "skpot: {}, code for {}, cutoff {:.8g} A, elements {}, threads {}\n",
                   model.description, model.processor, model.cutoff, model.all_symbols(),
                   n_threads ? n_threads : comm->nthreads);
}

// pair_coeff * * Si O: the element of each atom type, NULL for types of other pair styles
void PairSkpot::coeff(int narg, char **arg)
{
  const int n = atom->ntypes;
  if (narg != 2 + n)
    error->all(FLERR, "pair_coeff of skpot takes * * and one element (or NULL) for each of the {} "
               "atom types, got {} elements", n, std::max(narg - 2, 0));
  if (!allocated) {
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    allocated = 1;
  }
  species_of_type.assign(n + 1, NONE);
  bool any = false;
  for (int t = 1; t <= n; t++) {
    const std::string symbol = arg[1 + t];
    if (symbol == "NULL") continue;
    species_of_type[t] = model.find(symbol);
    any = true;
    if (species_of_type[t] == NONE)
      error->all(FLERR, "pair_coeff of skpot: the model does not know {}, element of type {}; it "
                 "knows {}", symbol, t, model.all_symbols());
  }
  if (!any) error->all(FLERR, "pair_coeff of skpot: every type is NULL");
  for (int a = 1; a <= n; a++)
    for (int b = 1; b <= n; b++)
      setflag[a][b] = species_of_type[a] != NONE && species_of_type[b] != NONE;
}

void PairSkpot::init_style()
{
  if (!model.evaluate)
    error->all(FLERR, "pair_style skpot has no model, because opening it failed before");
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style skpot is in eV and Angstrom: write 'units metal' instead of "
               "'units {}'", update->unit_style);
  if (!force->newton_pair)
    error->all(FLERR, "pair_style skpot gives forces to ghost atoms: write 'newton on'");
  // Bonded neighbors with a factor of 0 are not in the list, but the model needs all neighbors.
  if (atom->molecular != Atom::ATOMIC)
    for (int k = 1; k <= 3; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(FLERR, "pair_style skpot needs bonded neighbors too: write 'special_bonds "
                   "lj/coul 1.0 1.0 1.0'");
  refuse_wrong_heat_flux();
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

// The virials of stress/atom halve what pairs contribute, which gives another heat flux than that of
// a many-body potential. Compute heat/flux takes them without a word.
void PairSkpot::refuse_wrong_heat_flux() const
{
  bool centroid = false;
  for (const Compute *c : modify->get_compute_list()) centroid |= c->pressatomflag == 2;
  for (const Compute *c : modify->get_compute_list())
    if (strcmp(c->style, "heat/flux") == 0 && !centroid)
      error->all(FLERR, "pair_style skpot: compute {} would give a wrong heat flux from "
                 "stress/atom, since the model is no pair potential: write 'centroid/stress/atom' "
                 "in place of 'stress/atom'", c->id);
}

double PairSkpot::init_one(int, int)
{
  return model.cutoff;
}

void PairSkpot::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  prepare_blocks();
  if (neighbor->ago == 0 && (neighbor->exclude || neighbor->includegroup)) refuse_missing_pairs();
  if (grade_flag) grades.assign(std::max(atom->nlocal, 1), 0.0);
  const int n_blocks = (list->inum + Block::SIZE - 1) / Block::SIZE;
  const auto size = [this](int k) { return std::min(Block::SIZE, list->inum - k * Block::SIZE); };
  const auto work = [&](int thread, int k) {
    Block &block = blocks[thread];
    gather(block, k * Block::SIZE, size(k));
    evaluate(block, size(k));
    if (grade_flag) grade(block, k * Block::SIZE, size(k));
  };
  const auto finish = [&](int thread, int k) {
    scatter(blocks[thread], k * Block::SIZE, size(k));
  };
  try {
    in_order(blocks.size(), n_blocks, work, finish);
  } catch (const Problem &problem) {
    error->one(FLERR, "pair_style skpot: {}", problem.what());
  }
  if (vflag_fdotr) virial_fdotr_compute();
}

// Makes a block for each thread, with the species of all atoms.
void PairSkpot::prepare_blocks()
{
  blocks.resize(n_threads ? n_threads : comm->nthreads);
  const int n_all = atom->nlocal + atom->nghost;
  for (Block &block : blocks) {
    block.species.resize(Block::SIZE + n_all);
    for (int j = 0; j < n_all; j++)
      block.species[Block::SIZE + j] = species_of_type[atom->type[j]];
  }
}

// An atom that is not in group all counts as removed: fix gcmc and fix widom remove atoms on trial
// by moving them to another group, which has no pairs.
bool PairSkpot::is_there(int i) const
{
  return atom->mask[i] & 1;
}

// Stops if settings of neigh_modify remove pairs of this model from the list. Fixes may change the
// settings at the start of a run, and atoms may change groups, so every new list is checked.
void PairSkpot::refuse_missing_pairs()
{
  const std::string what = missing_pairs();
  int missing = !what.empty(), any_missing = 0;
  MPI_Allreduce(&missing, &any_missing, 1, MPI_INT, MPI_MAX, world);
  if (any_missing)
    error->all(FLERR, "pair_style skpot needs all pairs within its cutoff, but neigh_modify {} "
               "takes some away: undo it (neigh_modify exclude none, neigh_modify include all)",
               missing ? what : "exclude or include");
}

std::string PairSkpot::missing_pairs() const
{
  const auto name = [this](int g) { return std::string(group->names[g]); };
  const int include = neighbor->includegroup;
  if (include && any_atom([=](int i) { return !(atom->mask[i] & group->bitmask[include]); }))
    return "include " + name(include);
  if (!neighbor->exclude) return "";
  for (int k = 0; k < neighbor->nex_type; k++) {
    const int a = neighbor->ex1_type[k], b = neighbor->ex2_type[k];
    if (species_of_type[a] != NONE && species_of_type[b] != NONE)
      return "exclude type " + std::to_string(a) + " " + std::to_string(b);
  }
  const auto in_group = [this](int bit) {
    return any_atom([=](int i) { return atom->mask[i] & bit; });
  };
  for (int k = 0; k < neighbor->nex_group; k++)
    if (in_group(neighbor->ex1_bit[k]) && in_group(neighbor->ex2_bit[k]))
      return "exclude group " + name(neighbor->ex1_group[k]) + " " + name(neighbor->ex2_group[k]);
  for (int k = 0; k < neighbor->nex_mol; k++)
    if (in_group(neighbor->ex_mol_bit[k]))
      return "exclude molecule " + name(neighbor->ex_mol_group[k]);
  return "";
}

// Returns whether a condition holds for any atom, owned or ghost, that exists and that the model
// knows.
template <class Condition> bool PairSkpot::any_atom(Condition condition) const
{
  for (int i = 0; i < atom->nlocal + atom->nghost; i++)
    if (species_of_type[atom->type[i]] != NONE && is_there(i) && condition(i)) return true;
  return false;
}

// Writes the neighbors within the cutoff of n centers, which begin with entry `first` of the list.
void PairSkpot::gather(Block &block, int first, int n) const
{
  double **x = atom->x;
  const double limit = model.cutoff * model.cutoff;
  double closest = limit;
  int64_t p = 0, longest = 0;
  for (int c = 0; c < n; c++) {
    const int i = list->ilist[first + c];
    const int *row = list->firstneigh[i];
    const int length = is_there(i) ? list->numneigh[i] : 0;
    block.reserve_pairs(p + length);
    int64_t *index = block.neighbors.data();
    double *r = block.vector.data();
    const double x_i = x[i][0], y_i = x[i][1], z_i = x[i][2];
    if (!std::isfinite(x_i + y_i + z_i))
      throw Problem("atom {} has a position that is not finite: check the structure and the time "
                    "step", atom->tag[i]);
    block.species[c] = block.species[Block::SIZE + i];
    block.start[c] = p;
    for (int k = 0; k < length; k++) {
      const int j = row[k] & NEIGHMASK;
      const double *x_j = x[j];
      const double dx = x_j[0] - x_i, dy = x_j[1] - y_i, dz = x_j[2] - z_i;
      // Always written but kept only if near, because branches would be slower.
      index[p] = Block::SIZE + j;
      r[3 * p] = dx;
      r[3 * p + 1] = dy;
      r[3 * p + 2] = dz;
      const double squared = dx * dx + dy * dy + dz * dz;
      closest = std::min(closest, squared);
      p += squared < limit;
    }
    longest = std::max(longest, p - block.start[c]);
  }
  block.start[n] = p;
  block.reserve_work(longest, model);
  if (closest < SKPOT_MIN_DISTANCE * SKPOT_MIN_DISTANCE) refuse_closest(block, first, n);
}

// Ends the run with the numbers of the two atoms, of the centers in `gather`, that are closest.
void PairSkpot::refuse_closest(const Block &block, int first, int n) const
{
  double closest = model.cutoff * model.cutoff;
  int i = 0, j = 0;
  for (int c = 0; c < n; c++)
    for (int64_t p = block.start[c]; p < block.start[c + 1]; p++) {
      const double *r = &block.vector[3 * p];
      const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
      if (squared >= closest) continue;
      closest = squared;
      i = list->ilist[first + c];
      j = block.neighbors[p] - Block::SIZE;
    }
  throw Problem("two atoms meet, {} and {} are {:.3g} Angstrom apart; check the structure and the "
                "time step, or give Monte Carlo moves an overlap_cutoff",
                atom->tag[i], atom->tag[j], std::sqrt(closest));
}

void PairSkpot::evaluate(Block &block, int n) const
{
  const int64_t status =
      model.evaluate(0, n, n, block.species.size(), block.start.data(), block.neighbors.data(),
                     block.vector.data(), block.species.data(), block.energies.data(),
                     block.gradient.data(), block.work.data(), block.work.size());
  if (status) throw Problem("the model failed with status {}", status);
}

// Adds the contributions of n centers to energy, forces and virial. Half of the virial of a pair
// goes to each of its atoms. Its shear components are made symmetric; without that they would be
// symmetric only in the sum over all pairs of a center.
// The centroid virial of an atom j has all nine components of -r_ij (dE_i/dr_ij) of the centers i
// that have it as a neighbor, so that its product with the velocity of j is the heat that flows
// between them: Surblys et al., Phys. Rev. E 99, 051301 (2019); Fan et al., Phys. Rev. B 92, 094301.
void PairSkpot::scatter(const Block &block, int first, int n)
{
  static constexpr int ROW[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};    // xx yy zz xy xz yz yx zx zy
  static constexpr int COLUMN[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};
  double **f = atom->f;
  const bool sum_virial = vflag_global && !vflag_fdotr;
  for (int c = 0; c < n; c++) {
    const int i = list->ilist[first + c];
    if (!is_there(i)) continue;
    if (eflag_global) eng_vdwl += block.energies[c];
    if (eflag_atom) eatom[i] += block.energies[c];
    double f_x = 0.0, f_y = 0.0, f_z = 0.0;
    for (int64_t p = block.start[c]; p < block.start[c + 1]; p++) {
      const int j = block.neighbors[p] - Block::SIZE;
      const double *g = &block.gradient[3 * p], *r = &block.vector[3 * p];
      double *f_j = f[j];
      f_x += g[0];
      f_y += g[1];
      f_z += g[2];
      f_j[0] -= g[0];
      f_j[1] -= g[1];
      f_j[2] -= g[2];
      if (cvflag_atom)
        for (int k = 0; k < 9; k++) cvatom[j][k] -= r[ROW[k]] * g[COLUMN[k]];
      if (!sum_virial && !vflag_atom) continue;
      const double v[6] = {-r[0] * g[0],
                           -r[1] * g[1],
                           -r[2] * g[2],
                           -0.5 * (r[0] * g[1] + r[1] * g[0]),
                           -0.5 * (r[0] * g[2] + r[2] * g[0]),
                           -0.5 * (r[1] * g[2] + r[2] * g[1])};
      for (int k = 0; k < 6; k++) {
        if (sum_virial) virial[k] += v[k];
        if (vflag_atom) {
          vatom[i][k] += 0.5 * v[k];
          vatom[j][k] += 0.5 * v[k];
        }
      }
    }
    if (!std::isfinite(block.energies[c] + f_x + f_y + f_z)) refuse_infinite(i, block.energies[c]);
    f[i][0] += f_x;
    f[i][1] += f_y;
    f[i][2] += f_z;
  }
}

void PairSkpot::refuse_infinite(int i, double energy) const
{
  throw Problem("atom {} has the energy {} eV, and it or a slope of it is not finite: the structure "
                "is too far from all that the model has learned from", atom->tag[i], energy);
}

void PairSkpot::grade(Block &block, int first, int n)
{
  const int64_t status =
      model.grade(0, n, n, block.species.size(), block.start.data(), block.neighbors.data(),
                  block.vector.data(), block.species.data(), block.grades.data(),
                  block.work.data(), block.work.size());
  if (status) throw Problem("the model's grade failed, status {}", status);
  for (int c = 0; c < n; c++) grades[list->ilist[first + c]] = block.grades[c];
}

// For fix ID all pair N skpot grade 1, which sets the flag at its steps and then reads the grades.
void *PairSkpot::extract(const char *name, int &dim)
{
  dim = 0;
  if (strcmp(name, "grade_flag") != 0) return nullptr;
  refuse_without_grades();
  return &grade_flag;
}

void *PairSkpot::extract_peratom(const char *name, int &n_columns)
{
  n_columns = 0;
  if (strcmp(name, "grade") != 0) return nullptr;
  refuse_without_grades();
  if ((int) grades.size() < std::max(atom->nlocal, 1)) grades.resize(std::max(atom->nlocal, 1));
  return grades.data();
}

void PairSkpot::refuse_without_grades()
{
  if (!model.grade)
    error->all(FLERR, "pair_style skpot: the model cannot extract grades, because it was exported "
               "without them: add --grades to skpot export lammps");
}

double PairSkpot::memory_usage()
{
  size_t numbers = grades.size();
  for (const Block &block : blocks) numbers += block.n_numbers();
  return Pair::memory_usage() + 8.0 * numbers;
}

void Block::reserve_pairs(size_t n)
{
  if (n <= neighbors.size()) return;
  n += n / 2;
  neighbors.resize(n);
  vector.resize(3 * n);
  gradient.resize(3 * n);
}

void Block::reserve_work(int64_t n_neighbors, const Model &model)
{
  if (n_neighbors <= longest_row && !work.empty()) return;
  longest_row = n_neighbors + n_neighbors / 4 + 1;
  const int64_t size = model.work_size(longest_row, SIZE);
  if (size < 0) throw Problem("the model failed to plan its work space");
  work.resize(std::max<int64_t>(size, 1));
}

size_t Block::n_numbers() const
{
  return start.size() + neighbors.size() + species.size() + vector.size() + gradient.size() +
      energies.size() + grades.size() + work.size();
}

}    // namespace skpot
