// The vector instruction sets that this machine can run, best first; empty
// without fused multiply-add. Behind a plain header, so that nobody else meets
// a vector type.
#ifndef LOSSD_KERNELS_CPU_VECTOR_KERNEL_H_
#define LOSSD_KERNELS_CPU_VECTOR_KERNEL_H_

#include <vector>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels::cpu {

// Calls into Highway's process-wide choice of target: once, from one thread.
std::vector<InstructionSet> VectorInstructionSets();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_VECTOR_KERNEL_H_
