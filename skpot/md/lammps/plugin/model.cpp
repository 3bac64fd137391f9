#include "model.h"

#include "config.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>

namespace skpot {

static constexpr int64_t ABI = SKPOT_ABI;    // version of the C functions

static uint32_t crc32(const std::string &bytes, size_t n)
{
  std::array<uint32_t, 256> table;
  for (uint32_t k = 0; k < 256; k++) {
    table[k] = k;
    for (int bit = 0; bit < 8; bit++)
      table[k] = (table[k] >> 1) ^ (table[k] & 1 ? 0xEDB88320u : 0u);
  }
  uint32_t sum = 0xFFFFFFFFu;
  for (size_t i = 0; i < n; i++)
    sum = table[(sum ^ static_cast<unsigned char>(bytes[i])) & 0xFFu] ^ (sum >> 8);
  return ~sum;
}

static bool read(const std::string &file, std::string &bytes)
{
  struct stat about;
  if (stat(file.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) return false;
  FILE *stream = fopen(file.c_str(), "rb");
  if (!stream) return false;
  bytes.resize(about.st_size);
  const bool whole = fread(&bytes[0], 1, bytes.size(), stream) == bytes.size();
  fclose(stream);
  return whole;
}

// The kind of machine that a library is for, by the header of its ELF file; empty if not known.
static std::string kind_of(const std::string &bytes)
{
  if (bytes.compare(0, 4, "\177ELF") != 0) return "";
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(bytes[k]); };
  const int machine = byte(18) + 256 * byte(19);
  return machine == 62 ? "x86-64" : machine == 183 ? "aarch64" : "";
}

static std::string own_kind()
{
#if defined(__x86_64__)
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "of another kind";
#endif
}

// Returns what is wrong with a file: whether it ends with the seal of skpot/core/aot.py, was not
// changed since then, and is for this kind of machine. A damaged library might crash the process
// when it is loaded, so all this is checked before. `check_file` of aot.py does the same in Python.
static std::string check_file(const std::string &file)
{
  static const std::string mark = "skpotsum";
  std::string bytes;
  if (!read(file, bytes)) return "it is not a file that can be read";
  const size_t length = mark.size() + 8;
  const size_t n = bytes.size() < length ? 0 : bytes.size() - length;
  if (!n || bytes.compare(n, mark.size(), mark) != 0)
    return "it is not a library of skpot, or the end of it is missing: export the model again";
  char expected[9];
  snprintf(expected, sizeof expected, "%08x", static_cast<unsigned>(crc32(bytes, n)));
  if (bytes.compare(n + mark.size(), 8, expected) != 0)
    return "the file is damaged: export the model again";
  const std::string kind = kind_of(bytes);
  if (!kind.empty() && kind != own_kind())
    return "it was exported for " + kind + " and this machine is " + own_kind() +
        ": export the model again, for this kind of machine";
  return "";
}

std::string Model::open(const std::string &path)
{
  close();
  const std::string problem = load(path);
  if (!problem.empty()) close();
  return problem;
}

std::string Model::load(const std::string &path)
{
  // Without a slash, the name would be searched in the folders of system libraries.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  const std::string problem = check_file(file);
  if (!problem.empty()) return problem;
  handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return std::string("the system cannot load it: ") + dlerror();

  auto get = [this](auto &function, const char *name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle, name));
    return function != nullptr;
  };
  int64_t (*abi)(), (*count)();
  double (*radius)();
  const char *const *(*names)();
  const char *(*text)(), *(*variant)(int64_t), *(*lacking)(int64_t);
  int64_t (*chosen)();
  if (!get(abi, "skpot_abi")) return "it is not a library of skpot";
  if (abi() != ABI)
    return "it has interface " + std::to_string(abi()) + " and this plugin speaks " +
        std::to_string(ABI) + ", so " +
        (abi() < ABI ? "it is from an older skpot: export the model again"
                     : "the plugin is from an older skpot: run skpot lammps build-plugin again");
  if (!get(count, "skpot_n_species") || !get(names, "skpot_symbols") ||
      !get(radius, "skpot_cutoff") || !get(text, "skpot_description") ||
      !get(work_size, "skpot_work_size") || !get(evaluate, "skpot_evaluate") ||
      !get(chosen, "skpot_chosen") || !get(variant, "skpot_variant") ||
      !get(lacking, "skpot_lacking"))
    return "functions are missing in it; export the model again";
  get(grade, "skpot_grade");
  if (chosen() < 0)
    return std::string("its code for ") + variant(0) + " needs " + lacking(0) +
        ", which this processor lacks: export the model again, for older processors";

  n_species = count();
  symbols = names();
  cutoff = radius();
  description = text();
  processor = variant(chosen());
  return "";
}

void Model::close()
{
  if (handle) dlclose(handle);
  handle = nullptr;
  n_species = 0;
  work_size = nullptr;
  evaluate = nullptr;
  grade = nullptr;
}

int64_t Model::find(const std::string &symbol) const
{
  for (int64_t s = 0; s < n_species; s++)
    if (symbol == symbols[s]) return s;
  return -1;
}

std::string Model::all_symbols() const
{
  std::string all;
  for (int64_t s = 0; s < n_species; s++)
    if (*symbols[s]) all += (all.empty() ? "" : " ") + std::string(symbols[s]);
  return all;
}

}    // namespace skpot
