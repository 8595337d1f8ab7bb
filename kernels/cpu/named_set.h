// Instruction sets by the names that users give them.
#ifndef LOSSD_KERNELS_CPU_NAMED_SET_H_
#define LOSSD_KERNELS_CPU_NAMED_SET_H_

#include <string>
#include <string_view>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels::cpu {

// Returns the set of this machine that a user calls `name`: the best one for
// "", the best one with vectors of 512 bits for "avx512", and else the one with
// that name, whatever the case of its letters. Returns null if this machine has
// none. Thread-safe.
const InstructionSet* FindInstructionSet(std::string_view name);

// Returns the names of InstructionSets(), separated by commas.
std::string InstructionSetNames();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_NAMED_SET_H_
