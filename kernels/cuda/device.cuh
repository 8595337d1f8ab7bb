// What every .cu file includes before device-inl.cuh.
#ifndef LOSSD_KERNELS_CUDA_DEVICE_CUH_
#define LOSSD_KERNELS_CUDA_DEVICE_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/batch_layout.h"
#include "kernels/cuda/cuda_ops.cuh"
#include "kernels/cuda/path_kernels.h"
#include "kernels/cuda/tuning.h"
#include "kernels/element/polynomials.h"

namespace lossd::kernels::cuda {

// What a kernel is given of a batch.
struct BatchBlocks {
  const std::byte* input;
  std::byte* output;
  uint64_t block_segments;
  BlockRange range;
};

inline BatchBlocks BlocksOf(const PackedBatch& batch, BlockRange range) {
  return {batch.input, batch.output, batch.block_segments, range};
}

// Thread blocks that have `per_thread_block` of the range's blocks each.
inline unsigned GridOf(BlockRange range, uint64_t per_thread_block) {
  return static_cast<unsigned>((range.count + per_thread_block - 1) /
                               per_thread_block);
}

// The runtime loads a kernel when it is first asked for, and may wait for the
// whole device then: not in the middle of a batch.
template <class... Kernels>
cudaError_t LoadCode(Kernels... kernels) {
  cudaFuncAttributes attributes;
  cudaError_t error = cudaSuccess;
  const auto load = [&](auto kernel) {
    error = cudaFuncGetAttributes(&attributes, kernel);
    return error == cudaSuccess;
  };
  (load(kernels) && ...);
  return error;
}

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_DEVICE_CUH_
