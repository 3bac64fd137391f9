#include "model.h"

#include <dlfcn.h>

namespace skpot {

static constexpr int64_t ABI = SKPOT_ABI;    // of the functions, given by the build

std::string Model::open(const std::string &path)
{
  close();
  const std::string problem = load(path);
  if (!problem.empty()) close();
  return problem;
}

std::string Model::load(const std::string &path)
{
  // A name without a slash would be looked for among the system's libraries.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
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
