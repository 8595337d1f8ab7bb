// Computes a packed batch on the host, with the kernels' per-thread code and
// the CPU's scalar arithmetic, in place of a device.
#ifndef LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_
#define LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_

#include "kernels/cuda/batch_layout.h"

namespace lossd::kernels::cuda {

// `batch` lies in host memory, aligned as BatchLayout promises. If `look_up`,
// variants that have a table use it, as a device does for large batches.
void ComputeOnHost(const PackedBatch& batch, bool look_up = false);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_
