// Everything that runs on a device, for the kernels to choose from. A body:
// each .cu file includes it in an unnamed namespace, after device.cuh.

// clang-format off
#define LOSSD_ELEMENT_FN __device__ __forceinline__
#define LOSSD_UNROLL _Pragma("unroll")
#define LOSSD_ROLL _Pragma("unroll 1")
#include "kernels/element/element-inl.h"
#include "element_type/half-inl.h"
#include "kernels/cuda/block-inl.h"
#include "kernels/cuda/machine-inl.cuh"
#include "kernels/cuda/plain-inl.h"
#include "kernels/cuda/lookup-inl.h"
#include "kernels/cuda/group_sum-inl.h"
// clang-format on

constexpr int kWarpSize = 32;
constexpr unsigned kFullWarp = 0xffffffffu;

// Sums and least values over the kThreads threads that share a block: a warp,
// or half of one. Every thread of the warp takes part; thread 0 of each group
// has the result.
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
