#include "model.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>

namespace skpot {

static constexpr int64_t ABI = SKPOT_ABI;    // version of the C functions, set by the build

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

// Returns whether a file ends with the seal of skpot/core/aot.py and was not changed since then. A
// damaged library might crash the process when it is loaded, so the seal is checked before.
static std::string check_seal(const std::string &file)
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
  const std::string problem = check_seal(file);
  if (!problem.empty()) return problem;
  handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return std::string(dlerror()) + "; was it exported on another kind of machine?";

  auto get = [this](auto &function, const char *name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle, name));
    return function != nullptr;
  };
  int64_t (*abi)(), (*count)();
  double (*radius)();
  const char *const *(*names)();
  const char *(*text)();
  if (!get(abi, "skpot_abi")) return "it is not a library of skpot";
  if (abi() != ABI)
    return "it has interface " + std::to_string(abi()) + " and this plugin speaks " +
        std::to_string(ABI) +
        ": export the model again and build the plugin again, with the same skpot";
  if (!get(count, "skpot_n_species") || !get(names, "skpot_symbols") ||
      !get(radius, "skpot_cutoff") || !get(text, "skpot_description") ||
      !get(work_size, "skpot_work_size") || !get(evaluate, "skpot_evaluate"))
    return "functions are missing in it; export the model again";
  get(grade, "skpot_grade");

  n_species = count();
  symbols = names();
  cutoff = radius();
  description = text();
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
