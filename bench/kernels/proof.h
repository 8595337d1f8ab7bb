// The check of the kernel before anything is timed.
#ifndef LOSSD_BENCH_KERNELS_PROOF_H_
#define LOSSD_BENCH_KERNELS_PROOF_H_

#include <span>
#include <string>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels::cpu {

// Compares a sample of every kind that is timed with the reference, and the
// results of all `sets` with those of the first. Everything that a kernel has
// to write holds wrong values before. Returns the first fault, or "" if there
// is none.
std::string WrongInSamples(std::span<const InstructionSet> sets);

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_BENCH_KERNELS_PROOF_H_
