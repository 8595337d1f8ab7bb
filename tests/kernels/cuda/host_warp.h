// A warp on the host: computes a packed batch with the kernels' own per-thread
// code and the scalar policy, in place of a device.
#ifndef LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_
#define LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_

#include "kernels/cuda/batch_layout.h"

namespace lossd::kernels::cuda {

// `batch` lies in host memory, with the alignment that BatchLayout promises.
// `look_up`: by the table, where there is one, as a device does with much.
void ComputeOnHost(const PackedBatch& batch, bool look_up = false);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_TESTS_KERNELS_CUDA_HOST_WARP_H_
