/* The C side of an exported model: its functions under C names, its numbers in one block.

   Compiled by aot.py, which writes model.h (the macros SKPOT_*) and model.bin (the numbers) beside
   it and links it with the object code of the functions that are declared here. */

#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

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
   raise through the second. There is one set of them for each processor. */
typedef int32_t Size(int64_t *result, void **raised, int64_t n_neighbors, int64_t n_centers,
                     const void *const *table);
typedef int32_t Evaluate(int64_t *result, void **raised, int64_t lo, int64_t hi, int64_t n_centers,
                         int64_t n_atoms, const int64_t *start, const int64_t *neighbor,
                         const double *vector, const int64_t *species, double *energies,
                         double *gradient, double *work, int64_t n_work, int64_t *used,
                         const void *const *table);
typedef int32_t Grade(int64_t *result, void **raised, int64_t lo, int64_t hi, int64_t n_centers,
                      int64_t n_atoms, const int64_t *start, const int64_t *neighbor,
                      const double *vector, const int64_t *species, double *grades, double *work,
                      int64_t n_work, int64_t *used, const void *const *table);

/* A feature of processors: where CPUID tells of it, and the bits of XCR0 that the system must set. */
typedef struct {
  const char *name;
  unsigned leaf, reg, bit, saved;
} Feature;

typedef struct {
  const char *name;
  const Feature *needs; /* ends with a feature without a name */
  Size *size;
  Evaluate *evaluate;
  Size *grade_size;
  Grade *grade;
} Variant;

#ifdef SKPOT_GRADE
#define GRADE_FUNCTIONS(k) \
  HIDDEN Size skpot_compiled_grade_size_##k; \
  HIDDEN Grade skpot_compiled_grade_##k;
#define GRADE_POINTERS(k) skpot_compiled_grade_size_##k, skpot_compiled_grade_##k
#else
#define GRADE_FUNCTIONS(k)
#define GRADE_POINTERS(k) NULL, NULL
#endif
#define FUNCTIONS(k) \
  static const Feature needs_##k[] = {SKPOT_NEEDS_##k}; \
  HIDDEN Size skpot_compiled_size_##k; \
  HIDDEN Evaluate skpot_compiled_evaluate_##k; \
  GRADE_FUNCTIONS(k)
#define POINTERS(k) \
  {SKPOT_NAME_##k, needs_##k, skpot_compiled_size_##k, skpot_compiled_evaluate_##k, \
   GRADE_POINTERS(k)},

SKPOT_VARIANTS(FUNCTIONS)
static const Variant variants[] = {SKPOT_VARIANTS(POINTERS)}; /* from old processors to new */
static const Variant *chosen = NULL;

static int has(const Feature *feature)
{
#ifdef __x86_64__
  unsigned r[4], low, high;
  if (!__get_cpuid_count(feature->leaf, 0, &r[0], &r[1], &r[2], &r[3])) return 0;
  if (!(r[feature->reg] >> feature->bit & 1u)) return 0;
  if (!feature->saved) return 1;
  __get_cpuid(1, &r[0], &r[1], &r[2], &r[3]);
  if (!(r[2] >> 27 & 1u)) return 0; /* the system does not let programs read XCR0 */
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & feature->saved) == feature->saved;
#else
  (void)feature;
  return 1;
#endif
}

static const Feature *lacking(const Variant *variant)
{
  const Feature *feature = variant->needs;
  while (feature->name && has(feature)) feature++;
  return feature;
}

/* Runs when the library is loaded. */
__attribute__((constructor)) static void choose(void)
{
  for (size_t k = 0; k < sizeof variants / sizeof variants[0]; k++)
    if (!lacking(&variants[k])->name) chosen = &variants[k];
}

/* How many processors the library has code for, from old to new, and their names. */
PUBLIC int64_t skpot_n_variants(void) { return sizeof variants / sizeof variants[0]; }
PUBLIC const char *skpot_variant(int64_t k) { return variants[k].name; }

/* The first feature that code for a processor needs and this machine lacks; NULL if it runs. */
PUBLIC const char *skpot_lacking(int64_t k) { return lacking(&variants[k])->name; }

/* The index of the code that runs: the newest that this machine can run, or -1 if there is none.
   skpot_choose changes it for all threads, and returns 0 or, if the code does not run here, -1. */
PUBLIC int64_t skpot_chosen(void) { return chosen ? chosen - variants : -1; }
PUBLIC int64_t skpot_choose(int64_t k)
{
  if (k < 0 || k >= skpot_n_variants() || skpot_lacking(k)) return -1;
  chosen = &variants[k];
  return 0;
}

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
  if (!chosen) return -1;
  if (chosen->size(&size, &raised, n_neighbors, n_centers, table)) return -1;
  int64_t grade_size = 0;
  if (chosen->grade_size &&
      chosen->grade_size(&grade_size, &raised, n_neighbors, n_centers, table))
    return -1;
  if (grade_size > size) size = grade_size;
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
  if (!chosen) return -1;
  int32_t status =
      chosen->evaluate(&wanted, &raised, lo, hi, n_centers, n_atoms, start, neighbor, vector,
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
  if (!chosen) return -1;
  int32_t status =
      chosen->grade(&wanted, &raised, lo, hi, n_centers, n_atoms, start, neighbor, vector,
                           species, grades, work, n_work, &used, table);
  return status ? -1 : wanted;
}
#endif

/* What compiled code may call beside the C library. */

/* In place of an instruction of x86, on processors that have others: counts down the references to
   an array and tells whether the last is gone. Arrays of callers are not counted. */
HIDDEN int8_t skpot_release(int64_t *count, int64_t n, int32_t condition)
{
  (void)count, (void)n, (void)condition;
  return 0;
}

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
