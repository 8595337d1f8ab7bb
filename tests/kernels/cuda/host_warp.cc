#include "tests/kernels/cuda/host_warp.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "kernels/cpu/scalar_ops.h"
#include "kernels/element/polynomials.h"

namespace lossd::kernels::cuda {
namespace {

using cpu::ScalarOps;

// clang-format off
#define LOSSD_ELEMENT_FN inline
#define LOSSD_UNROLL
#define LOSSD_ROLL
#include "kernels/element/element-inl.h"
#include "kernels/cuda/lanes-inl.h"
#include "kernels/cuda/exact-inl.h"
// clang-format on

// How the host moves and converts vectors (fast-inl.h).
struct VectorMemory {
  template <class Row>
  static Row Load(const Row* from) {
    return *from;
  }
  template <class Row>
  static void Store(const Row& row, Row* to) {
    *to = row;
  }
  template <class T, class Stored>
  static void Narrow(T a, T b, Stored* to) {
    StoreRounded(a, to);
    StoreRounded(b, to + 1);
  }
  static float Widen(BFloat16 value) { return FloatOf(value); }
  static float Widen(Float16 value) { return FloatOf(value); }
  template <class T>
  static T Widen(T value) {
    return value;
  }
  static uint32_t MaxHalves(uint32_t a, uint32_t b) {
    return std::max(a >> 16, b >> 16) << 16 | std::max(a & 0xffff, b & 0xffff);
  }
  static uint32_t MinHalves(uint32_t a, uint32_t b) {
    return std::min(a >> 16, b >> 16) << 16 | std::min(a & 0xffff, b & 0xffff);
  }
};

// clang-format off
#include "kernels/cuda/fast-inl.h"
#include "kernels/cuda/lookup-inl.h"
// clang-format on

constexpr int kThreads = 32;
constexpr uint32_t kNoRow = 0xffffffff;

const PackedSegment& SegmentOf(const PackedBatch& batch, uint64_t block) {
  const auto* table =
      reinterpret_cast<const uint32_t*>(batch.input + batch.block_segments);
  return reinterpret_cast<const PackedSegment*>(batch.input)[table[block]];
}

template <class T, LossKinds kLossKinds, bool kSecond = false>
BlockPartial ComputeExact(const PackedBatch& batch, uint64_t block) {
  const PackedSegment& segment = SegmentOf(batch, block);
  double loss[kBlockLanes];
  double weight[kBlockLanes];
  BlockPartial partial;
  for (int thread = 0; thread < kThreads; ++thread) {
    const uint64_t first = (block - segment.first_block) * kBlockElements;
    const ThreadSums sums = ComputeThread<ScalarOps<T>, kLossKinds, kSecond>(
        segment, batch.input, batch.output, first, thread);
    std::copy_n(sums.loss, kThreadLanes, loss + kThreadLanes * thread);
    std::copy_n(sums.weight, kThreadLanes, weight + kThreadLanes * thread);
    partial.valid_count += sums.valid_count;
    partial.nonzero_weight_count += sums.nonzero_weight_count;
    partial.nan_count += sums.nan_count;
    partial.first_nan = std::min(partial.first_nan, sums.first_nan);
    partial.first_bad_target =
        std::min(partial.first_bad_target, sums.first_bad_target);
    partial.first_operand_fault =
        std::min(partial.first_operand_fault, sums.first_operand_fault);
  }
  partial.loss_sum = SumLanes(loss);
  partial.weight_sum = SumLanes(weight);
  return partial;
}

// Computes a block as the threads of a group do, one after the other: first the
// fast rows, then, if a thread returns false, all rows exactly.
template <class Types, class Rows>
BlockPartial ComputeFast(const PackedBatch& batch, uint64_t block_number,
                         Rows fast_rows) {
  constexpr int kLanes = Types::kLanes;
  const auto block = FastBlockOf<Types>(
      SegmentOf(batch, block_number), batch.input, batch.output, block_number);
  FastSums<kLanes> sums[Types::kThreads];
  uint32_t row = block.FastRowCount();
  for (int thread = 0; thread < Types::kThreads; ++thread) {
    if (!fast_rows(block, thread, sums[thread].loss)) row = kNoRow;
  }
  BlockPartial partial;
  double lanes[kBlockLanes];
  for (int thread = 0; thread < Types::kThreads; ++thread) {
    FastSums<kLanes>& mine = sums[thread];
    if (row == kNoRow) mine = FastSums<kLanes>();
    ExactRows(block, thread, row == kNoRow ? 0 : row, mine);
    std::copy_n(mine.loss, kLanes, lanes + kLanes * thread);
    partial.nan_count += mine.nan_count;
    partial.first_nan = std::min(partial.first_nan, mine.first_nan);
    partial.first_bad_target =
        std::min(partial.first_bad_target, mine.first_bad_target);
  }
  partial.loss_sum = SumLanes(lanes);
  partial.weight_sum = block.count;
  partial.valid_count = partial.nonzero_weight_count = block.count;
  return partial;
}

template <class Operations, class Logit, template <int> class TargetsOf>
BlockPartial Fast(const PackedBatch& batch, uint64_t number) {
  using Types = FastTypes<Operations, Logit, TargetsOf>;
  return ComputeFast<Types>(
      batch, number,
      [](const auto& block, int thread, double(&loss)[Types::kLanes]) {
        return FastRows(block, thread, loss);
      });
}

const LookupTable& Table() {
  static const LookupTable* const kTable = [] {
    auto table = std::make_unique<LookupTable>();
    for (uint32_t k = 0; k < 2 * LookupTable::kSize; ++k) {
      FillEntry<ScalarOps<float>>(*table, k);
    }
    return table.release();
  }();
  return *kTable;
}

template <template <int> class TargetsOf>
BlockPartial LookedUp(const PackedBatch& batch, uint64_t number) {
  using Types = FastTypes<ScalarOps<float>, BFloat16, TargetsOf>;
  return ComputeFast<Types>(
      batch, number,
      [](const auto& block, int thread, double(&loss)[Types::kLanes]) {
        return LookUpRows(Table(), block, thread, loss);
      });
}

BlockPartial ComputeBlock(KernelVariant variant, bool look_up,
                          const PackedBatch& batch, uint64_t block) {
  using Single = ScalarOps<float>;
  using Double = ScalarOps<double>;
  switch (variant) {
    case KernelVariant::kFloat32:
      return Fast<Single, float, Float32Targets>(batch, block);
    case KernelVariant::kFloat32Bytes:
      return Fast<Single, float, ByteTargets>(batch, block);
    case KernelVariant::kFloat32Bits:
      return Fast<Single, float, BitTargets>(batch, block);
    case KernelVariant::kBFloat16:
      return Fast<Single, BFloat16, BFloat16Targets>(batch, block);
    case KernelVariant::kBFloat16Float32:
      return Fast<Single, BFloat16, Float32Targets>(batch, block);
    case KernelVariant::kBFloat16Bytes:
      if (look_up) return LookedUp<ByteTargets>(batch, block);
      return Fast<Single, BFloat16, ByteTargets>(batch, block);
    case KernelVariant::kBFloat16Bits:
      if (look_up) return LookedUp<BitTargets>(batch, block);
      return Fast<Single, BFloat16, BitTargets>(batch, block);
    case KernelVariant::kFloat16:
      return Fast<Single, Float16, Float16Targets>(batch, block);
    case KernelVariant::kFloat16Float32:
      return Fast<Single, Float16, Float32Targets>(batch, block);
    case KernelVariant::kFloat16Bytes:
      return Fast<Single, Float16, ByteTargets>(batch, block);
    case KernelVariant::kFloat16Bits:
      return Fast<Single, Float16, BitTargets>(batch, block);
    case KernelVariant::kFloat64:
      return Fast<Double, double, Float64Targets>(batch, block);
    case KernelVariant::kExact:
      return ComputeExact<float, LossKinds::kCrossEntropy>(batch, block);
    case KernelVariant::kExactPowers:
      return ComputeExact<float, LossKinds::kAll>(batch, block);
    case KernelVariant::kExactFloat64:
      return ComputeExact<double, LossKinds::kAll>(batch, block);
    case KernelVariant::kSecond:
      return ComputeExact<float, LossKinds::kCrossEntropy, true>(batch, block);
    case KernelVariant::kSecondPowers:
      return ComputeExact<float, LossKinds::kAll, true>(batch, block);
    case KernelVariant::kSecondFloat64:
      return ComputeExact<double, LossKinds::kAll, true>(batch, block);
  }
  return {};
}

}  // namespace

void ComputeOnHost(const PackedBatch& batch, bool look_up) {
  auto* partials = reinterpret_cast<BlockPartial*>(batch.output);
  for (int k = 0; k < kVariantCount; ++k) {
    const BlockRange range = batch.variant_blocks[k];
    for (uint64_t n = 0; n < range.count; ++n) {
      const uint64_t block = range.first + n;
      partials[block] =
          ComputeBlock(static_cast<KernelVariant>(k), look_up, batch, block);
    }
  }
}

}  // namespace lossd::kernels::cuda
