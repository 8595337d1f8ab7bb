// The effect of a NaN or an infinity in a request: where it shows, and with
// which bits. A computed NaN has the machine's sign, so bits are compared.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr uint32_t kNanBits = 0x7fc00000;

// Returns an element of a float32 result.
uint32_t BitsAt(const std::vector<std::byte>& values, size_t index) {
  uint32_t bits = 0;
  std::memcpy(&bits, values.data() + index * sizeof(bits), sizeof(bits));
  return bits;
}

// A segment of one logit and its target, with losses.
std::unique_ptr<OwnedSegment> One(double logit, double target) {
  auto owned = std::make_unique<OwnedSegment>(ElementType::kFloat32,
                                              std::vector<uint64_t>{1});
  owned->SetLogits({logit});
  owned->SetTargets(ElementType::kFloat32, {target});
  owned->segment.options.reduction = Reduction::kNone;
  owned->WantLosses();
  return owned;
}

TEST(Nan, OfALogitIsTheSameWithEitherSignAndPayload) {
  for (const uint32_t bits :
       {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xffffffffu}) {
    const float logit = std::bit_cast<float>(bits);
    const Piece piece = std::as_bytes(std::span(&logit, 1));
    for (const double target : {0.0, 0.25, 1.0}) {
      for (const bool fast : {true, false}) {
        const auto owned = One(1, target);
        owned->segment.logits.pieces = {&piece, 1};
        if (fast) owned->segment.losses = nullptr;
        for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
          const SegmentAnswer answer = owned->Compute(set);
          EXPECT_EQ(answer.totals.first_nan, 0u) << set.name << target;
          EXPECT_EQ(BitsAt(answer.gradient, 0), kNanBits) << set.name << target;
          if (!fast) {
            EXPECT_EQ(BitsAt(answer.losses, 0), kNanBits) << set.name << target;
          }
        }
      }
    }
  }
}

TEST(Nan, OfAnInfiniteLossTimesALossWeightOfZeroHasOneSign) {
  const auto owned = One(kInfinity, 0);
  owned->segment.options.loss_weight = 0;
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    EXPECT_EQ(BitsAt(owned->Compute(set).losses, 0), kNanBits) << set.name;
  }
}

TEST(Nan, OfAnInfiniteWeightOfALossOfZeroHasOneSign) {
  const auto owned = One(kInfinity, 1);
  owned->SetWeights({kInfinity}, {0});
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    const SegmentAnswer answer = owned->Compute(set);
    EXPECT_EQ(BitsAt(answer.losses, 0), kNanBits) << set.name;
    EXPECT_EQ(BitsAt(answer.gradient, 0), kNanBits) << set.name;
  }
}

// 1e300 is infinite in the logits' type.
TEST(Nan, OfAnInfiniteGradientScaleHasOneSign) {
  const auto owned = One(kInfinity, 1);
  owned->segment.losses = nullptr;
  owned->segment.options.reduction = Reduction::kSum;
  owned->segment.options.loss_weight = 1e300;
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    EXPECT_EQ(BitsAt(owned->Compute(set).gradient, 0), kNanBits) << set.name;
  }
}

TEST(Nan, OfAWeightReachesTheNormalizerWithOneSign) {
  std::vector<BlockPartial> partials(2);
  partials[1].weight_sum = -kNan;
  EXPECT_EQ(std::bit_cast<uint64_t>(Combine(partials).weight_sum),
            std::bit_cast<uint64_t>(kNan));
}

TEST(Nan, OfAnIgnoredLogitIsNeitherCountedNorPassedOn) {
  const auto owned = One(kNan, 0.5);
  owned->segment.options.ignore_target = 0.5;
  const SegmentAnswer answer = owned->Compute(cpu::BestInstructionSet());
  EXPECT_EQ(answer.totals.nan_count, 0u);
  EXPECT_EQ(answer.totals.first_nan, kNoIndex);
  EXPECT_EQ(BitsAt(answer.losses, 0), 0u);
  EXPECT_EQ(BitsAt(answer.gradient, 0), 0u);
}

TEST(Nan, OfALogitOfWeightZeroIsCountedButNotPassedOn) {
  const auto owned = One(kNan, 1);
  owned->SetWeights({0}, {0});
  const SegmentAnswer answer = owned->Compute(cpu::BestInstructionSet());
  EXPECT_EQ(answer.totals.nan_count, 1u);
  EXPECT_EQ(answer.totals.first_nan, 0u);
  EXPECT_EQ(answer.totals.loss_sum, 0);
  EXPECT_EQ(BitsAt(answer.losses, 0), 0u);
  EXPECT_EQ(BitsAt(answer.gradient, 0), 0u);
}

TEST(Nan, OfATargetIsABadTargetInEveryRange) {
  for (const bool unit_interval : {true, false}) {
    for (const double target : {kNan, kInfinity, -kInfinity}) {
      const auto owned = One(1, target);
      owned->segment.options.targets_in_unit_interval = unit_interval;
      for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
        EXPECT_EQ(owned->Compute(set).totals.first_bad_target, 0u)
            << set.name << " " << target;
      }
    }
  }
}

// A NaN among the targets must not hide an earlier target that is out of range.
TEST(Nan, OfATargetDoesNotHideAnEarlierBadOne) {
  for (const double bad : {-1.0, 2.0}) {
    OwnedSegment owned(ElementType::kFloat32, {1000});
    std::vector<double> targets(1000, 0.5);
    targets[16] = bad;
    targets[32] = targets[999] = kNan;
    owned.SetLogits(std::vector<double>(1000, -3));
    owned.SetTargets(ElementType::kFloat32, targets);
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      EXPECT_EQ(owned.Compute(set).totals.first_bad_target, 16u) << set.name;
    }
  }
}

}  // namespace
}  // namespace lossd::kernels
