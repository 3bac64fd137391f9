// An exported model: a shared library with the C functions of skpot/core/model.c.

#ifndef SKPOT_MODEL_H
#define SKPOT_MODEL_H

#include <cstdint>
#include <string>

namespace skpot {

class Model {
 public:
  Model() = default;
  ~Model() { close(); }
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;

  // Returns a message about what is wrong, or an empty string.
  std::string open(const std::string &path);
  void close();

  // Returns the index of a chemical symbol, or -1.
  int64_t find(const std::string &symbol) const;
  std::string all_symbols() const;

  // Null unless a library is open.
  int64_t (*work_size)(int64_t n_neighbors, int64_t n_centers) = nullptr;
  int64_t (*evaluate)(int64_t lo, int64_t hi, int64_t n_centers, int64_t n_atoms,
                      const int64_t *start, const int64_t *neighbor, const double *vector,
                      const int64_t *species, double *energies, double *gradient, double *work,
                      int64_t n_work) = nullptr;
  // Null if the model has no extrapolation grades.
  int64_t (*grade)(int64_t lo, int64_t hi, int64_t n_centers, int64_t n_atoms,
                   const int64_t *start, const int64_t *neighbor, const double *vector,
                   const int64_t *species, double *grades, double *work,
                   int64_t n_work) = nullptr;
  double cutoff = 0.0;
  std::string description;
  std::string processor;    // whose code in the library runs here

 private:
  std::string load(const std::string &path);

  void *handle = nullptr;
  int64_t n_species = 0;
  const char *const *symbols = nullptr;
};

}    // namespace skpot

#endif
