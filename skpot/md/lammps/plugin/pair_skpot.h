// Pair style skpot: a model in a library that `skpot export lammps` has written. As skpot/omp it takes
// as many threads as LAMMPS has been given.
// See NOTICE.md in this folder for the license of the compiled plugin.

#ifndef SKPOT_PAIR_SKPOT_H
#define SKPOT_PAIR_SKPOT_H

#include <cstdint>
#include <string>
#include <vector>

#include "model.h"
#include "pair.h"

namespace skpot {

// Some centers, with their neighbors and the results of the model. The buffers grow to the size of
// the largest block and are used again in every step. In `species`, the centers come first; the
// atoms of LAMMPS (owned, then ghosts) begin at SIZE.
struct Block {
  static constexpr int SIZE = 128;
  std::vector<int64_t> start, neighbors, species;
  std::vector<double> vector, gradient, energies, grades, work;
  int64_t longest_row = 0;    // longest row for which `work` is large enough

  Block() : start(SIZE + 1), energies(SIZE), grades(SIZE) {}
  void reserve_pairs(size_t n);
  void reserve_work(int64_t n_neighbors, const Model &model);
  size_t n_numbers() const;
};

class PairSkpot : public LAMMPS_NS::Pair {
 public:
  explicit PairSkpot(LAMMPS_NS::LAMMPS *, bool with_suffix = false);
  ~PairSkpot() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;
  double memory_usage() override;

 private:
  Model model;
  std::vector<int64_t> species_of_type;    // by atom type, from 1; NONE where pair_coeff has NULL

  // Extrapolation grades of owned atoms, for `fix pair`, which sets the flag when it wants them.
  int grade_flag = 0;
  std::vector<double> grades;

  static constexpr int64_t NONE = -1;
  const bool with_suffix;
  int n_threads = 0;    // 0: as many as LAMMPS has
  std::vector<Block> blocks;    // one for each thread

  bool is_there(int i) const;
  void refuse_missing_pairs();
  std::string missing_pairs() const;
  template <class Condition> bool any_atom(Condition condition) const;
  void refuse_wrong_heat_flux() const;
  void prepare_blocks();
  void gather(Block &, int first, int n) const;
  void refuse_closest(const Block &, int first, int n) const;
  void refuse_infinite(int i, double energy) const;
  void evaluate(Block &, int n) const;
  void scatter(const Block &, int first, int n);
  void grade(Block &, int first, int n);
  void refuse_without_grades();
};

}    // namespace skpot

#endif
