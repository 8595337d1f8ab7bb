// Highway's foreach_target compiles this file once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/vector_kernel.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/staging.h"
#include "kernels/cpu/vector_kernel.h"
#include "kernels/element/exponent_bits.h"
#include "kernels/element/polynomials.h"

HWY_BEFORE_NAMESPACE();
namespace lossd::kernels::cpu {
namespace HWY_NAMESPACE {

#if HWY_NATIVE_FMA && HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE
// clang-format off
#undef LOSSD_ELEMENT_FN
#define LOSSD_ELEMENT_FN HWY_INLINE
#include "kernels/element/element-inl.h"
#include "kernels/cpu/hwy_ops-inl.h"
#include "kernels/cpu/fast_shape-inl.h"
#include "kernels/cpu/pair_ops-inl.h"
#include "element_type/half-inl.h"
#include "kernels/cpu/exact-inl.h"
#include "kernels/cpu/table-inl.h"
#include "kernels/cpu/early_part-inl.h"
#include "kernels/cpu/fast-inl.h"
// clang-format on

void ComputeBlocks(const Segment& segment, double gradient_scale,
                   uint64_t first_block, std::span<BlockPartial> partials) {
  if (segment.logits.type == ElementType::kFloat64) {
    ComputeBlocksOf<HwyOps<double>, PairOps<HwyOps<double>>>(
        segment, gradient_scale, first_block, partials);
  } else if (IsFloat8(segment.logits.type)) {
    ComputeFloat8Blocks<HwyOps<float>>(segment, gradient_scale, first_block,
                                       partials);
  } else {
    ComputeBlocksOf<HwyOps<float>, PairOps<HwyOps<float>>>(
        segment, gradient_scale, first_block, partials);
  }
}
BlocksFunction Blocks() { return &ComputeBlocks; }
#else
// MulAdd is not fused here, or the width is not a constant. The scalar policy
// computes instead.
BlocksFunction Blocks() { return nullptr; }
#endif

}  // namespace HWY_NAMESPACE
}  // namespace lossd::kernels::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lossd::kernels::cpu {

HWY_EXPORT(Blocks);

std::vector<InstructionSet> VectorInstructionSets() {
  std::vector<InstructionSet> sets;
  // Highway's targets are bits; a better target has a lower one.
  std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  std::sort(targets.begin(), targets.end());
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    const BlocksFunction compute = HWY_DYNAMIC_DISPATCH(Blocks)();
    if (compute != nullptr)
      sets.push_back({hwy::TargetName(target), &CountBlocks, compute});
  }
  hwy::SetSupportedTargetsForTest(0);
  return sets;
}

}  // namespace lossd::kernels::cpu
#endif  // HWY_ONCE
