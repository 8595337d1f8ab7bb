// The vector instruction sets of this machine. The header has no vector type,
// so that only vector_kernel.cc depends on Highway.
#ifndef LOSSD_KERNELS_CPU_VECTOR_KERNEL_H_
#define LOSSD_KERNELS_CPU_VECTOR_KERNEL_H_

#include <vector>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels::cpu {

// Returns the instruction sets that this machine can run, best first; none
// without fused multiply-add. It changes Highway's process-wide choice of
// target while it runs: call it once, from one thread.
std::vector<InstructionSet> VectorInstructionSets();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_VECTOR_KERNEL_H_
