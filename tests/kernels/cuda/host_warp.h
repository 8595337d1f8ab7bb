// A warp on the host: computes a packed batch with the kernel's own per-thread
// code and the scalar policy, in place of a device.
#ifndef LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_
#define LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_

#include "kernels/cuda/batch_layout.h"

namespace lossd::kernels::cuda {

// `batch` lies in host memory, with the alignment that BatchLayout promises.
void ComputeOnHost(const PackedBatch& batch);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_
