// Tests which variant a segment gets.
#include "kernels/cuda/kernel_variant.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels::cuda {
namespace {

constexpr ElementType kFloat32 = ElementType::kFloat32;
constexpr ElementType kFloat64 = ElementType::kFloat64;
constexpr ElementType kBFloat16 = ElementType::kBFloat16;
constexpr ElementType kFloat16 = ElementType::kFloat16;
constexpr ElementType kBit = ElementType::kBit;

std::unique_ptr<OwnedSegment> SegmentWithoutOptions(ElementType logits,
                                                    ElementType targets,
                                                    uint64_t count = 3) {
  auto owned =
      std::make_unique<OwnedSegment>(logits, std::vector<uint64_t>{count});
  owned->SetLogits(std::vector<double>(count, 0.5));
  owned->SetTargets(targets, std::vector<double>(count, 1));
  return owned;
}

TEST(KernelVariant, IsFastForTheseTypesWithoutOptions) {
  const auto variant = [](ElementType logits, ElementType targets) {
    return VariantOf(SegmentWithoutOptions(logits, targets)->segment, 1);
  };
  EXPECT_EQ(variant(kFloat32, kFloat32), KernelVariant::kFloat32);
  EXPECT_EQ(variant(kFloat32, ElementType::kUint8),
            KernelVariant::kFloat32Bytes);
  EXPECT_EQ(variant(kFloat32, ElementType::kBool),
            KernelVariant::kFloat32Bytes);
  EXPECT_EQ(variant(kFloat32, kBit), KernelVariant::kFloat32Bits);
  EXPECT_EQ(variant(kFloat32, kBFloat16), KernelVariant::kExact);
  EXPECT_EQ(variant(kBFloat16, kBFloat16), KernelVariant::kBFloat16);
  EXPECT_EQ(variant(kBFloat16, kFloat32), KernelVariant::kBFloat16Float32);
  EXPECT_EQ(variant(kBFloat16, ElementType::kUint8),
            KernelVariant::kBFloat16Bytes);
  EXPECT_EQ(variant(kBFloat16, kBit), KernelVariant::kBFloat16Bits);
  EXPECT_EQ(variant(kBFloat16, kFloat16), KernelVariant::kExact);
  EXPECT_EQ(variant(kFloat16, kFloat16), KernelVariant::kFloat16);
  EXPECT_EQ(variant(kFloat16, kFloat32), KernelVariant::kFloat16Float32);
  EXPECT_EQ(variant(kFloat16, ElementType::kBool),
            KernelVariant::kFloat16Bytes);
  EXPECT_EQ(variant(kFloat16, kBit), KernelVariant::kFloat16Bits);
  EXPECT_EQ(variant(kFloat64, kFloat64), KernelVariant::kFloat64);
  EXPECT_EQ(variant(kFloat64, kBit), KernelVariant::kExactFloat64);
}

TEST(KernelVariant, OfFloat8IsExact) {
  const ElementType e4m3 = ElementType::kFloat8E4M3Fn;
  for (const ElementType type : {e4m3, ElementType::kFloat8E5M2}) {
    for (const ElementType targets : {kBit, ElementType::kUint8, type}) {
      EXPECT_EQ(VariantOf(SegmentWithoutOptions(type, targets)->segment, 1),
                KernelVariant::kExact)
          << Name(type) << Name(targets);
    }
  }
  EXPECT_EQ(VariantOf(SegmentWithoutOptions(kFloat32, e4m3)->segment, 1),
            KernelVariant::kExact);
}

TEST(KernelVariant, OfASecondDerivativeIsExactAndHasIt) {
  const auto variant = [](ElementType logits, LossKind kind) {
    const auto owned = SegmentWithoutOptions(logits, logits);
    owned->segment.options.kind = kind;
    owned->WantSecondDerivative();
    return VariantOf(owned->segment, 1);
  };
  const auto entropy = LossKind::kSigmoidCrossEntropy;
  EXPECT_EQ(variant(kFloat32, entropy), KernelVariant::kSecond);
  EXPECT_EQ(variant(kBFloat16, entropy), KernelVariant::kSecond);
  EXPECT_EQ(variant(kFloat32, LossKind::kPoly), KernelVariant::kSecondPowers);
  EXPECT_EQ(variant(kFloat64, entropy), KernelVariant::kSecondFloat64);
}

// Each change asks for more than a fast variant computes.
TEST(KernelVariant, IsExactForEveryOption) {
  using Change = void (*)(OwnedSegment&);
  const Change changes[] = {
      [](OwnedSegment& o) { o.SetOnes({1}); },
      [](OwnedSegment& o) { o.SetWeights({2}, {0}); },
      [](OwnedSegment& o) { o.SetPosWeight({2}, {0}); },
      [](OwnedSegment& o) { o.SetUpstream({2}, {0}); },
      [](OwnedSegment& o) { o.WantLosses(); },
      [](OwnedSegment& o) { o.SetGradientType(kFloat64); },
      [](OwnedSegment& o) { o.segment.options.ignore_target = 2; },
      [](OwnedSegment& o) { o.segment.options.label_smoothing = 0.1; },
      [](OwnedSegment& o) {
        o.segment.options.targets_in_unit_interval = false;
      },
  };
  for (const Change change : changes) {
    const auto owned = SegmentWithoutOptions(kFloat32, kFloat32);
    change(*owned);
    EXPECT_EQ(VariantOf(owned->segment, 1), KernelVariant::kExact)
        << "change " << &change - changes;
  }
  const auto owned = SegmentWithoutOptions(kFloat32, kFloat32);
  EXPECT_EQ(VariantOf(owned->segment, std::numeric_limits<double>::max()),
            KernelVariant::kExact);
  owned->segment.options.kind = LossKind::kSigmoidFocal;
  EXPECT_EQ(VariantOf(owned->segment, 1), KernelVariant::kExactPowers);
}

}  // namespace
}  // namespace lossd::kernels::cuda
