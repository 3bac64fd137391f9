/* The C side of an exported model: its functions under C names, its numbers in one block.

   Compiled by aot.py, which writes model.h (the macros SKPOT_*) and model.bin (the numbers) beside
   it and links it with the object code of the functions that are declared here. */

#include <stddef.h>
#include <stdint.h>

#include "model.h"

#define PUBLIC __attribute__((visibility("default")))
#define HIDDEN __attribute__((visibility("hidden")))

#ifdef __APPLE__
#define SECTION ".const_data"
#define SYMBOL "_skpot_numbers"
#else
#define SECTION ".section .rodata"
#define SYMBOL "skpot_numbers"
#endif

extern HIDDEN const char skpot_numbers[];
__asm__(SECTION "\n.balign 64\n.globl " SYMBOL "\n" SYMBOL ":\n.incbin \"model.bin\"\n.byte 0\n"
        ".text\n");

static const void *const table[] = {SKPOT_TABLE};
static const int64_t species[] = {SKPOT_SPECIES};
static const char *const symbols[] = {SKPOT_SYMBOLS};

/* Compiled functions return a status, the result through the first argument, and what they would
   raise through the second. */
HIDDEN int32_t skpot_compiled_size(int64_t *result, void **raised, int64_t n_neighbors,
                                   int64_t n_centers, const void *const *table);
HIDDEN int32_t skpot_compiled_evaluate(int64_t *result, void **raised, int64_t lo, int64_t hi,
                                       int64_t n_centers, int64_t n_atoms, const int64_t *start,
                                       const int64_t *neighbor, const double *vector,
                                       const int64_t *species, double *energies, double *gradient,
                                       double *work, int64_t n_work, int64_t *used,
                                       const void *const *table);

#ifdef SKPOT_GRADE
HIDDEN int32_t skpot_compiled_grade_size(int64_t *result, void **raised, int64_t n_neighbors,
                                         int64_t n_centers, const void *const *table);
HIDDEN int32_t skpot_compiled_grade(int64_t *result, void **raised, int64_t lo, int64_t hi,
                                    int64_t n_centers, int64_t n_atoms, const int64_t *start,
                                    const int64_t *neighbor, const double *vector,
                                    const int64_t *species, double *grades, double *work,
                                    int64_t n_work, int64_t *used, const void *const *table);
#endif

PUBLIC int64_t skpot_abi(void) { return SKPOT_ABI; }
PUBLIC double skpot_cutoff(void) { return SKPOT_CUTOFF; }
PUBLIC int64_t skpot_n_species(void) { return sizeof species / sizeof species[0]; }
PUBLIC const int64_t *skpot_species(void) { return species; }
PUBLIC const char *const *skpot_symbols(void) { return symbols; }
PUBLIC const char *skpot_description(void) { return SKPOT_DESCRIPTION; }

/* How many numbers of work space n_centers with up to n_neighbors pairs each take; < 0: failed. */
PUBLIC int64_t skpot_work_size(int64_t n_neighbors, int64_t n_centers)
{
  int64_t size = 0;
  void *raised = NULL;
  if (skpot_compiled_size(&size, &raised, n_neighbors, n_centers, table)) return -1;
#ifdef SKPOT_GRADE
  int64_t grade_size = 0;
  if (skpot_compiled_grade_size(&grade_size, &raised, n_neighbors, n_centers, table)) return -1;
  if (grade_size > size) size = grade_size;
#endif
  return size;
}

/* Energies (n_centers) and dE_i/dr_ij (pairs, 3) of centers lo ... hi, r_ij = x_j - x_i.

   The neighbors of center i are at start[i] ... start[i + 1] of neighbor (indices into species)
   and vector; species holds indices into skpot_species(), those of the centers first. Returns 0,
   or how long work should have been (then nothing is written), or -1 if the function failed. */
PUBLIC int64_t skpot_evaluate(int64_t lo, int64_t hi, int64_t n_centers, int64_t n_atoms,
                              const int64_t *start, const int64_t *neighbor, const double *vector,
                              const int64_t *species, double *energies, double *gradient,
                              double *work, int64_t n_work)
{
  int64_t wanted = 0, used = 0;
  void *raised = NULL;
  int32_t status =
      skpot_compiled_evaluate(&wanted, &raised, lo, hi, n_centers, n_atoms, start, neighbor, vector,
                              species, energies, gradient, work, n_work, &used, table);
  return status ? -1 : wanted;
}

#ifdef SKPOT_GRADE
/* Extrapolation grades (n_centers) of centers lo ... hi: 1 at the edge of the training set. The
   library may lack this function. Arguments and result as for skpot_evaluate. */
PUBLIC int64_t skpot_grade(int64_t lo, int64_t hi, int64_t n_centers, int64_t n_atoms,
                           const int64_t *start, const int64_t *neighbor, const double *vector,
                           const int64_t *species, double *grades, double *work, int64_t n_work)
{
  int64_t wanted = 0, used = 0;
  void *raised = NULL;
  int32_t status =
      skpot_compiled_grade(&wanted, &raised, lo, hi, n_centers, n_atoms, start, neighbor, vector,
                           species, grades, work, n_work, &used, table);
  return status ? -1 : wanted;
}
#endif

/* What compiled code may call beside the C library. */

/* Frees an array when its last reference goes; arrays of callers have no owner, so none does. */
HIDDEN void NRT_MemInfo_call_dtor(void *owner) { (void)owner; }

/* Strides of an array in a new shape, of equal size; 0 unless the array is contiguous. */
HIDDEN int numba_attempt_nocopy_reshape(ptrdiff_t n, const ptrdiff_t *shape,
                                        const ptrdiff_t *strides, ptrdiff_t n_new,
                                        const ptrdiff_t *new_shape, ptrdiff_t *new_strides,
                                        ptrdiff_t itemsize, int fortran)
{
  if (fortran) return 0;
  ptrdiff_t step = itemsize;
  for (ptrdiff_t k = n - 1; k >= 0; k--) {
    if (shape[k] > 1 && strides[k] != step) return 0;
    step *= shape[k];
  }
  step = itemsize;
  for (ptrdiff_t k = n_new - 1; k >= 0; k--) {
    new_strides[k] = step;
    step *= new_shape[k];
  }
  return 1;
}
