/* Evaluates pairs by an exported library, as any program may: caller model.so given found.

   The file `given` has int64 numbers of centers and pairs, start, neighbor, species, and then the
   vectors; `found` gets energies and the gradient. Prints the processor whose code ran. Without
   an exported library for this processor it prints what is missing and returns 3. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int64_t Evaluate(int64_t lo, int64_t hi, int64_t n_centers, int64_t n_atoms,
                         const int64_t *start, const int64_t *neighbor, const double *vector,
                         const int64_t *species, double *energies, double *gradient, double *work,
                         int64_t n_work);
static void *library;

static void *get(const char *name)
{
  void *function = dlsym(library, name);
  if (!function) exit(2);
  return function;
}

static void *array(FILE *file, size_t size, size_t n)
{
  void *numbers = calloc(n + 1, size);
  if (file && fread(numbers, size, n, file) != n) exit(2);
  return numbers;
}

int main(int argc, char **argv)
{
  if (argc != 4) return 2;
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
  const char *(*variant)(int64_t) = (const char *(*)(int64_t))get("skpot_variant");
  const char *(*lacking)(int64_t) = (const char *(*)(int64_t))get("skpot_lacking");
  const int64_t chosen = ((int64_t(*)(void))get("skpot_chosen"))();
  if (chosen < 0) return printf("%s needs %s\n", variant(0), lacking(0)), 3;
  printf("%s\n", variant(chosen));

  FILE *given = fopen(argv[2], "rb"), *found = fopen(argv[3], "wb");
  if (!given || !found) return 2;
  int64_t *n = array(given, sizeof *n, 2);
  int64_t *start = array(given, sizeof *start, n[0] + 1), *neighbor = array(given, 8, n[1]);
  int64_t *species = array(given, sizeof *species, n[0]);
  double *vector = array(given, sizeof *vector, 3 * n[1]);
  double *energies = array(NULL, sizeof *energies, n[0]);
  double *gradient = array(NULL, sizeof *gradient, 3 * n[1]);
  int64_t longest = 1;
  for (int64_t i = 0; i < n[0]; i++)
    if (start[i + 1] - start[i] > longest) longest = start[i + 1] - start[i];
  const int64_t size = ((int64_t(*)(int64_t, int64_t))get("skpot_work_size"))(longest, n[0]);
  if (size < 0) return 2;
  double *work = array(NULL, sizeof *work, size);
  Evaluate *evaluate = (Evaluate *)get("skpot_evaluate");
  if (evaluate(0, n[0], n[0], n[0], start, neighbor, vector, species, energies, gradient, work,
               size))
    return 2;
  fwrite(energies, sizeof *energies, n[0], found);
  fwrite(gradient, sizeof *gradient, 3 * n[1], found);
  return fclose(found) ? 2 : 0;
}
