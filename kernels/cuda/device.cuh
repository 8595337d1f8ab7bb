// Everything that the kernels of more than one .cu file use on a device.
//
// The bodies lie in an unnamed namespace, so each .cu file has its own copy.
#ifndef LOSSD_KERNELS_CUDA_DEVICE_CUH_
#define LOSSD_KERNELS_CUDA_DEVICE_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/batch_layout.h"
#include "kernels/cuda/cuda_ops.cuh"
#include "kernels/cuda/tuning.h"
#include "kernels/element/polynomials.h"

namespace lossd::kernels::cuda {

// The part of a batch that one launch computes.
struct BatchBlocks {
  const std::byte* input;
  std::byte* output;
  uint64_t block_segments;
  BlockRange range;
};

inline BatchBlocks BlocksOf(const PackedBatch& batch, BlockRange range) {
  return {batch.input, batch.output, batch.block_segments, range};
}

// Returns how many thread blocks a launch needs if each computes
// `per_thread_block` blocks of the range.
inline unsigned GridOf(BlockRange range, uint64_t per_thread_block) {
  return static_cast<unsigned>((range.count + per_thread_block - 1) /
                               per_thread_block);
}

// Loads kernels on the current device. The runtime would otherwise load a
// kernel at its first launch, and may wait for the whole device then.
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

// The kernels that are not in launcher.cu. Each Launch...() starts the kernel
// of a variant over `range`, which is not empty, and returns the launch's
// error. Each Load...() prepares the current device for the file's kernels.
cudaError_t LaunchExact(KernelVariant variant, const PackedBatch& batch,
                        BlockRange range, cudaStream_t stream);
cudaError_t LoadExact();

// For KernelVariant::kFloat32 alone.
cudaError_t LaunchPrefetched(const PackedBatch& batch, BlockRange range,
                             cudaStream_t stream);
cudaError_t LoadPrefetched();

// `thread_blocks` is LookupThreadBlocks() of the current device, not 0.
cudaError_t LaunchLookup(KernelVariant variant, const PackedBatch& batch,
                         BlockRange range, unsigned thread_blocks,
                         cudaStream_t stream);
cudaError_t LoadLookup();
// Returns how many thread blocks can look up on the current device at once: one
// for each multiprocessor, or 0 if its shared memory is too small for a table.
unsigned LookupThreadBlocks();

namespace {

// clang-format off
#define LOSSD_ELEMENT_FN __device__ __forceinline__
#define LOSSD_UNROLL _Pragma("unroll")
#define LOSSD_ROLL _Pragma("unroll 1")
#include "kernels/element/element-inl.h"
#include "element_type/half-inl.h"
#include "kernels/cuda/lanes-inl.h"
#include "kernels/cuda/exact-inl.h"
#include "kernels/cuda/vector_memory-inl.cuh"
#include "kernels/cuda/fast-inl.h"
#include "kernels/cuda/lookup-inl.h"
// clang-format on

constexpr int kWarpSize = 32;
constexpr unsigned kFullWarp = 0xffffffffu;

// Sums and minima over the kThreads threads that share a block: a warp, or half
// of one. Every thread of the warp calls them; thread 0 of each group gets the
// result.
template <int kThreads>
struct Group {
  static __device__ uint32_t Count(uint32_t count) {
    for (int distance = kThreads / 2; distance > 0; distance /= 2) {
      count += __shfl_down_sync(kFullWarp, count, distance, kThreads);
    }
    return count;
  }
  static __device__ uint64_t First(uint64_t index) {
    for (int distance = kThreads / 2; distance > 0; distance /= 2) {
      const unsigned long long other =
          __shfl_down_sync(kFullWarp, static_cast<unsigned long long>(index),
                           distance, kThreads);
      index = other < index ? other : index;
    }
    return index;
  }
  template <int kLanes>
  static __device__ double Sum(int rank, double (&lanes)[kLanes]) {
    static_assert(kThreads * kLanes == kBlockLanes);
    return SumOverGroup(rank, lanes, [](double value, int distance) {
      return __shfl_xor_sync(kFullWarp, value, distance);
    });
  }
};

__device__ __forceinline__ const PackedSegment& SegmentOfBlock(
    const BatchBlocks& batch, uint64_t block) {
  const auto* table =
      reinterpret_cast<const uint32_t*>(batch.input + batch.block_segments);
  return reinterpret_cast<const PackedSegment*>(batch.input)[table[block]];
}

// Computes block `number` of the batch's range with kThreads threads.
// `fast_rows(block, rank, sums)` is FastRows() or does the same. If `exists` is
// false the threads only take part in the warp's shuffles.
template <class Types, class Rows>
__device__ __forceinline__ void ComputeFastBlock(const BatchBlocks& batch,
                                                 uint64_t number, bool exists,
                                                 Rows fast_rows) {
  using Threads = Group<Types::kThreads>;
  const int rank = static_cast<int>(threadIdx.x) % Types::kThreads;
  const uint64_t at = batch.range.first + (exists ? number : 0);
  FastBlock<Types> block = FastBlockOf<Types>(SegmentOfBlock(batch, at),
                                              batch.input, batch.output, at);
  if (!exists) block.count = 0;
  FastSums<Types::kLanes> sums;
  uint32_t row = block.FastRowCount();
  if (!__all_sync(kFullWarp, fast_rows(block, rank, sums.loss))) {
    sums = FastSums<Types::kLanes>();
    row = 0;
  }
  ExactRows(block, rank, row, sums);
  BlockPartial partial;
  const bool found_bad =
      sums.nan_count != 0 || sums.first_bad_target != kNoIndex;
  if (__any_sync(kFullWarp, found_bad)) {
    partial.nan_count = Threads::Count(sums.nan_count);
    partial.first_nan = Threads::First(sums.first_nan);
    partial.first_bad_target = Threads::First(sums.first_bad_target);
  }
  partial.loss_sum = Threads::Sum(rank, sums.loss);
  partial.weight_sum = static_cast<double>(block.count);
  partial.valid_count = block.count;
  partial.nonzero_weight_count = block.count;
  if (rank == 0 && exists) {
    reinterpret_cast<BlockPartial*>(batch.output)[at] = partial;
  }
}

// Blocks that a warp computes at once: one, or two of half types.
template <class Types>
inline constexpr int kBlocksPerWarp = kWarpSize / Types::kThreads;

}  // namespace

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_DEVICE_CUH_
