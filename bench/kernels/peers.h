// What the kernel is measured against on one machine: the same loop from a
// library's functions, and a loop that only moves memory.
#ifndef LOSSD_BENCH_KERNELS_PEERS_H_
#define LOSSD_BENCH_KERNELS_PEERS_H_

#include <cstdint>

namespace lossd::kernels::cpu {

// The mean sigmoid cross-entropy of `n` elements and its gradient from
// Highway's own Exp and Log1p, in the form that frameworks use:
//   max(x, 0) - x t + log1p(e^-|x|)      s(x) - t
// Summed as the kernel sums. `n` is a multiple of kBlockElements. Returns the
// sum of the losses.
double HighwayMath(const float* logits, const float* targets, uint64_t n,
                   float scale, float* gradient);

// gradient[i] = logits[i] + targets[i]: two loads, an add and a store.
void Stream(const float* logits, const float* targets, uint64_t n,
            float* gradient);

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_BENCH_KERNELS_PEERS_H_
