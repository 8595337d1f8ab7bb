// Numbers that decide speed alone, never bits.
#ifndef LOSSD_KERNELS_CUDA_TUNING_H_
#define LOSSD_KERNELS_CUDA_TUNING_H_

namespace lossd::kernels::cuda {

// Warps of a thread block, a segment block each. Not measured yet: no device
// has been at hand. Four leave room for 16 thread blocks per multiprocessor at
// 32 registers.
inline constexpr int kWarpsPerThreadBlock = 4;

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_TUNING_H_
