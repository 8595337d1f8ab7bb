// What must hold before anything is timed.
#ifndef LOSSD_BENCH_KERNELS_PROOF_H_
#define LOSSD_BENCH_KERNELS_PROOF_H_

#include <string>

namespace lossd::kernels::cpu {

// Holds a sample of every kind that is timed against the reference, and the
// instruction sets against each other. What is wrong; "": nothing is.
std::string WrongInSamples();

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_BENCH_KERNELS_PROOF_H_
