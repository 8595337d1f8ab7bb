// The kernel's peers on the same machine: the loss from a library's functions,
// and a loop that only moves memory.
#ifndef LOSSD_BENCH_KERNELS_PEERS_H_
#define LOSSD_BENCH_KERNELS_PEERS_H_

#include <cstdint>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels::cpu {

// Makes the peers use the instructions of `set`. Returns false if they were not
// compiled for it.
bool LimitPeers(const InstructionSet& set);

// Computes the sigmoid cross-entropy of `n` elements with Highway's own Exp and
// Log1p, in the form that frameworks use:
//   max(x, 0) - x t + log1p(e^-|x|)      s(x) - t
// Takes two vectors at a time. Writes the gradient times `scale` and returns
// the sum of the losses, added in float32 within a block. The kernel's sum has
// no such error; the peer's is cheaper. `n` is a multiple of kBlockElements.
double HighwayMath(const float* logits, const float* targets, uint64_t n,
                   float scale, float* gradient);

// Computes gradient[i] = logits[i] + targets[i]: two loads, an add and a store.
void Stream(const float* logits, const float* targets, uint64_t n,
            float* gradient);

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_BENCH_KERNELS_PEERS_H_
