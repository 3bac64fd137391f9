// Pair style skpot: a model in a library that `skpot export lammps` has written.
// See NOTICE.md in this folder for the license of the compiled plugin.

#ifndef SKPOT_PAIR_SKPOT_H
#define SKPOT_PAIR_SKPOT_H

#include <cstdint>
#include <string>
#include <vector>

#include "model.h"
#include "pair.h"

namespace skpot {

class PairSkpot : public LAMMPS_NS::Pair {
 public:
  explicit PairSkpot(LAMMPS_NS::LAMMPS *);
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

  // One block of centers, with its neighbors and the results of the model. The buffers grow to the
  // size of the largest block and are used again in every step. In `species`, the centers come
  // first; the atoms of LAMMPS (owned, then ghosts) begin at BLOCK.
  static constexpr int BLOCK = 128;
  static constexpr int64_t NONE = -1;
  std::vector<int64_t> start, neighbors, species;
  std::vector<double> vector, gradient, energies, work;
  int64_t longest_row = 0;    // longest row for which `work` is large enough

  bool is_there(int i) const;
  void refuse_missing_pairs();
  std::string missing_pairs() const;
  template <class Condition> bool any_atom(Condition condition) const;
  void refuse_wrong_heat_flux() const;
  void gather(int first, int n);
  void refuse_closest(int first, int n);
  void refuse_infinite(int i, double energy);
  void evaluate(int n);
  void scatter(int first, int n);
  void grade(int first, int n);
  void refuse_without_grades();
  void reserve_pairs(size_t n);
  void reserve_work(int64_t n_neighbors);
};

}    // namespace skpot

#endif
