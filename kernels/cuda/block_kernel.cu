// The kernel: every block of every segment of a batch, a warp each, in one
// launch.
#include <cuda_runtime.h>

#include "kernels/cuda/batch_layout.h"
#include "kernels/cuda/cuda_ops.cuh"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/tuning.h"
#include "kernels/polynomials.h"

namespace lossd::kernels::cuda {
namespace {

// clang-format off
#define LOSSD_ELEMENT_FN __device__ __forceinline__
#define LOSSD_UNROLL _Pragma("unroll")
#include "kernels/element.h"
#include "kernels/cuda/block-inl.h"
// clang-format on

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr int kWarpSize = 32;

// The lanes of a block as a binary tree of distance 64, 32, ..., 1, as
// SumLanes() adds them: four lanes a thread, so distance 64 is 16 threads away.
// Thread 0 has the sum.
__device__ double SumOverWarp(double (&lanes)[kThreadLanes]) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    for (int k = 0; k < kThreadLanes; ++k) {
      lanes[k] =
          __dadd_rn(lanes[k], __shfl_down_sync(kFullWarp, lanes[k], distance));
    }
  }
  return __dadd_rn(__dadd_rn(lanes[0], lanes[2]),
                   __dadd_rn(lanes[1], lanes[3]));
}

__device__ uint32_t CountOverWarp(uint32_t count) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    count += __shfl_down_sync(kFullWarp, count, distance);
  }
  return count;
}

__device__ uint64_t FirstOverWarp(uint64_t index) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    const auto other = static_cast<uint64_t>(__shfl_down_sync(
        kFullWarp, static_cast<unsigned long long>(index), distance));
    index = other < index ? other : index;
  }
  return index;
}

template <class T>
__device__ void ComputeBlock(const PackedSegment& segment,
                             const PackedBatch& batch, uint64_t block) {
  const int thread = static_cast<int>(threadIdx.x) % kWarpSize;
  const uint64_t first = (block - segment.first_block) * kBlockElements;
  ThreadSums sums = ComputeThread<CudaOps<T>>(segment, batch, first, thread);
  BlockPartial partial;
  partial.loss_sum = SumOverWarp(sums.loss);
  partial.weight_sum = SumOverWarp(sums.weight);
  partial.valid_count = CountOverWarp(sums.valid_count);
  partial.nonzero_weight_count = CountOverWarp(sums.nonzero_weight_count);
  partial.nan_count = CountOverWarp(sums.nan_count);
  partial.first_nan = FirstOverWarp(sums.first_nan);
  partial.first_bad_target = FirstOverWarp(sums.first_bad_target);
  if (thread == 0)
    reinterpret_cast<BlockPartial*>(batch.output)[block] = partial;
}

__global__ void __launch_bounds__(kWarpsPerThreadBlock* kWarpSize)
    ComputeBlocks(const PackedBatch batch) {
  const uint64_t block =
      uint64_t{blockIdx.x} * kWarpsPerThreadBlock + threadIdx.x / kWarpSize;
  if (block >= batch.block_count) return;
  const auto* table =
      reinterpret_cast<const uint32_t*>(batch.input + batch.block_segments);
  const PackedSegment& segment =
      reinterpret_cast<const PackedSegment*>(batch.input)[table[block]];
  if (segment.logits_type == ElementType::kFloat64) {
    ComputeBlock<double>(segment, batch, block);
  } else {
    ComputeBlock<float>(segment, batch, block);
  }
}

}  // namespace

int LaunchBlocks(const PackedBatch& batch, void* stream) {
  if (batch.block_count == 0) return cudaSuccess;
  const uint64_t thread_blocks =
      (batch.block_count + kWarpsPerThreadBlock - 1) / kWarpsPerThreadBlock;
  ComputeBlocks<<<static_cast<unsigned>(thread_blocks),
                  kWarpsPerThreadBlock * kWarpSize, 0,
                  static_cast<cudaStream_t>(stream)>>>(batch);
  return cudaGetLastError();
}

int LoadKernel() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, ComputeBlocks);
}

}  // namespace lossd::kernels::cuda
