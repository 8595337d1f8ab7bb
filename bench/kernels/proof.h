// The check of the kernel before anything is timed.
#ifndef LOSSD_BENCH_KERNELS_PROOF_H_
#define LOSSD_BENCH_KERNELS_PROOF_H_

#include <string>

namespace lossd::kernels::cpu {

// Compares a sample of every kind that is timed with the reference, and the
// results of all instruction sets with each other. Returns the first fault, or
// "" if there is none.
std::string WrongInSamples();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_BENCH_KERNELS_PROOF_H_
