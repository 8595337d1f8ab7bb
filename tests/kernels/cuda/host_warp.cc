#include "tests/kernels/cuda/host_warp.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/scalar_ops.h"
#include "kernels/polynomials.h"

namespace lossd::kernels::cuda {
namespace {

using cpu::ScalarOps;

// clang-format off
#define LOSSD_ELEMENT_FN inline
#define LOSSD_UNROLL
#include "kernels/element.h"
#include "kernels/cuda/block-inl.h"
// clang-format on

constexpr int kThreads = 32;

template <class T>
BlockPartial ComputeBlock(const PackedSegment& segment,
                          const PackedBatch& batch, uint64_t block) {
  double loss[kBlockLanes];
  double weight[kBlockLanes];
  BlockPartial partial;
  for (int thread = 0; thread < kThreads; ++thread) {
    const uint64_t first = (block - segment.first_block) * kBlockElements;
    const ThreadSums sums =
        ComputeThread<ScalarOps<T>>(segment, batch, first, thread);
    std::copy_n(sums.loss, kThreadLanes, loss + kThreadLanes * thread);
    std::copy_n(sums.weight, kThreadLanes, weight + kThreadLanes * thread);
    partial.valid_count += sums.valid_count;
    partial.nonzero_weight_count += sums.nonzero_weight_count;
    partial.nan_count += sums.nan_count;
    partial.first_nan = std::min(partial.first_nan, sums.first_nan);
    partial.first_bad_target =
        std::min(partial.first_bad_target, sums.first_bad_target);
  }
  partial.loss_sum = SumLanes(loss);
  partial.weight_sum = SumLanes(weight);
  return partial;
}

}  // namespace

void ComputeOnHost(const PackedBatch& batch) {
  const auto* table =
      reinterpret_cast<const uint32_t*>(batch.input + batch.block_segments);
  const auto* segments = reinterpret_cast<const PackedSegment*>(batch.input);
  auto* partials = reinterpret_cast<BlockPartial*>(batch.output);
  for (uint64_t block = 0; block < batch.block_count; ++block) {
    const PackedSegment& segment = segments[table[block]];
    partials[block] = segment.logits_type == ElementType::kFloat64
                          ? ComputeBlock<double>(segment, batch, block)
                          : ComputeBlock<float>(segment, batch, block);
  }
}

}  // namespace lossd::kernels::cuda
