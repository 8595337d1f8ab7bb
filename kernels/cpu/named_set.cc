#include "kernels/cpu/named_set.h"

#include <cctype>

namespace lossd::kernels::cpu {

const InstructionSet* FindInstructionSet(std::string_view name) {
  std::string upper;
  for (const char c : name) {
    upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  for (const InstructionSet& set : InstructionSets()) {
    // Highway calls AVX-512 with its extensions AVX3, AVX3_DL and so on.
    const bool found = upper == "AVX512" ? set.name.starts_with("AVX3")
                                         : upper == set.name || upper.empty();
    if (found) return &set;
  }
  return nullptr;
}

std::string InstructionSetNames() {
  std::string names;
  for (const InstructionSet& set : InstructionSets()) {
    if (!names.empty()) names += ", ";
    names += set.name;
  }
  return names;
}

}  // namespace lossd::kernels::cpu
