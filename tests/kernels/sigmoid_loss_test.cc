// The functions of sigmoid_loss.h.
#include "kernels/sigmoid_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

TEST(ByteSizeOf, RoundsBitsUpToWholeBytes) {
  EXPECT_EQ(ByteSize(ElementType::kBit, 0), 0u);
  EXPECT_EQ(ByteSize(ElementType::kBit, 9), 2u);
  EXPECT_EQ(ByteSize(ElementType::kFloat64, 3), 24u);
  EXPECT_EQ(ByteSize(ElementType::kBFloat16, 3), 6u);
  EXPECT_EQ(ByteSize(ElementType::kBool, 3), 3u);
  EXPECT_EQ(ByteSize(ElementType::kFloat32, uint64_t{1} << 60),
            uint64_t{1} << 62);
}

// The names are labels of metrics and words of messages: a change breaks
// dashboards.
TEST(Name, IsTheWordOfTheContract) {
  EXPECT_EQ(Name(LossKind::kSigmoidCrossEntropy), "sigmoid_cross_entropy");
  EXPECT_EQ(Name(LossKind::kSigmoidFocal), "sigmoid_focal");
  EXPECT_EQ(Name(LossKind::kAsymmetric), "asymmetric");
}

double ElementOf(ElementType type, std::vector<uint8_t> bytes, uint64_t index) {
  // The two pieces are cut inside an element.
  const auto all = std::as_bytes(std::span(bytes));
  const std::array<Piece, 2> pieces = {all.first(1), all.subspan(1)};
  return ElementAt({type, pieces}, index);
}

TEST(ElementAt, ReadsEveryTypeAcrossPieces) {
  EXPECT_EQ(
      ElementOf(ElementType::kFloat32, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, 1),
      -2);
  EXPECT_EQ(ElementOf(ElementType::kFloat64, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, 0),
            1);
  EXPECT_EQ(ElementOf(ElementType::kBFloat16, {0x80, 0x3f}, 0), 1);
  EXPECT_EQ(ElementOf(ElementType::kFloat16, {0x00, 0x3c}, 0), 1);
  EXPECT_EQ(ElementOf(ElementType::kFloat16, {0x01, 0x80}, 0), -0x1p-24);
  EXPECT_EQ(ElementOf(ElementType::kFloat16, {0x00, 0xfc}, 0), -INFINITY);
  EXPECT_TRUE(std::isnan(ElementOf(ElementType::kFloat16, {0x01, 0x7c}, 0)));
  EXPECT_EQ(ElementOf(ElementType::kUint8, {3, 200}, 1), 200);
  EXPECT_EQ(ElementOf(ElementType::kBool, {0, 1}, 1), 1);
  EXPECT_EQ(ElementOf(ElementType::kBit, {0x02, 0x80}, 1), 1);
  EXPECT_EQ(ElementOf(ElementType::kBit, {0x02, 0x80}, 15), 1);
  EXPECT_EQ(ElementOf(ElementType::kBit, {0x02, 0x80}, 14), 0);
  EXPECT_EQ(ElementOf(ElementType::kInt32, {0xff, 0xff, 0xff, 0xff}, 0), -1);
  EXPECT_EQ(ElementOf(ElementType::kInt64,
                      {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0),
            -2);
}

TEST(Combine, KeepsWhatThePlainSumLoses) {
  std::vector<BlockPartial> partials(3);
  partials[0].loss_sum = 1;
  partials[1].loss_sum = 1e100;
  partials[2].loss_sum = -1e100;
  EXPECT_EQ(Combine(partials).loss_sum, 1);
}

// The sizes of the partials differ so much that another order would give other
// bits.
TEST(TotalsAccumulator, GivesTheBitsOfCombineHoweverPartialsArePortioned) {
  std::mt19937 random(11);
  std::vector<BlockPartial> partials(500);
  for (BlockPartial& partial : partials) {
    partial.loss_sum = std::ldexp(static_cast<double>(random()) - 0x1p31,
                                  static_cast<int>(random() % 80) - 40);
    partial.weight_sum = static_cast<double>(random()) / 3;
    partial.valid_count = random() % 2049;
    partial.nonzero_weight_count = random() % 2049;
    partial.nan_count = random() % 3;
  }
  const Totals whole = Combine(partials);
  for (int round = 0; round < 20; ++round) {
    TotalsAccumulator accumulator;
    for (size_t at = 0; at < partials.size();) {
      const size_t count =
          std::min<size_t>(random() % 90, partials.size() - at);
      accumulator.Add(std::span(partials).subspan(at, count));
      at += count;
    }
    const Totals totals = accumulator.Sum();
    EXPECT_EQ(totals.loss_sum, whole.loss_sum);
    EXPECT_EQ(totals.weight_sum, whole.weight_sum);
    EXPECT_EQ(totals.valid_count, whole.valid_count);
    EXPECT_EQ(totals.nonzero_weight_count, whole.nonzero_weight_count);
    EXPECT_EQ(totals.nan_count, whole.nan_count);
  }
}

TEST(TotalsAccumulator, CountsIndicesFromTheFirstElementOfTheWhole) {
  const BlockPartial none = {.valid_count = 2048};
  const BlockPartial bad = {.first_nan = 5, .first_bad_target = 9};
  TotalsAccumulator accumulator;
  accumulator.Add({&none, 1});
  EXPECT_EQ(accumulator.Sum().first_nan, kNoIndex);
  accumulator.Add({&bad, 1}, 4096);
  accumulator.Add({&bad, 1}, 8192);
  EXPECT_EQ(accumulator.Sum().first_nan, 4101U);
  EXPECT_EQ(accumulator.Sum().first_bad_target, 4105U);
}

TEST(Combine, AddsWeightSumsInOrder) {
  std::vector<BlockPartial> partials(3);
  partials[0].weight_sum = 0x1p53;
  partials[1].weight_sum = 1;
  partials[2].weight_sum = 1;
  EXPECT_EQ(Combine(partials).weight_sum, 0x1p53);
  std::swap(partials[0], partials[2]);
  EXPECT_EQ(Combine(partials).weight_sum, 0x1p53 + 2);
}

TEST(Combine, AddsCountsBeyond32Bits) {
  std::vector<BlockPartial> partials(3);
  for (BlockPartial& partial : partials) {
    partial.valid_count = partial.nonzero_weight_count = 0xffffffff;
    partial.nan_count = 0x80000000;
  }
  const Totals totals = Combine(partials);
  EXPECT_EQ(totals.valid_count, 3u * uint64_t{0xffffffff});
  EXPECT_EQ(totals.nonzero_weight_count, 3u * uint64_t{0xffffffff});
  EXPECT_EQ(totals.nan_count, 3u * uint64_t{0x80000000});
}

TEST(Combine, OfNothingIsNothing) {
  const Totals totals = Combine({});
  EXPECT_EQ(totals.loss_sum, 0);
  EXPECT_EQ(totals.valid_count, 0u);
  EXPECT_EQ(totals.first_nan, kNoIndex);
  EXPECT_EQ(totals.first_bad_target, kNoIndex);
}

TEST(Combine, PassesInfinityAndTheCanonicalNanOn) {
  std::vector<BlockPartial> partials(2);
  partials[0].loss_sum = INFINITY;
  EXPECT_EQ(Combine(partials).loss_sum, INFINITY);
  partials[1].loss_sum = -INFINITY;
  EXPECT_FALSE(std::signbit(Combine(partials).loss_sum));
  EXPECT_TRUE(std::isnan(Combine(partials).loss_sum));
}

TEST(Combine, FindsTheFirstOfEachDefect) {
  std::vector<BlockPartial> partials(3);
  partials[1].first_nan = 5000;
  partials[2].first_nan = 9000;
  partials[2].first_bad_target = 8999;
  const Totals totals = Combine(partials);
  EXPECT_EQ(totals.first_nan, 5000u);
  EXPECT_EQ(totals.first_bad_target, 8999u);
}

TEST(EmptySegment, HasLossZeroWhateverTheNormalizer) {
  for (int k = 0; k < 6; ++k) {
    OwnedSegment owned(ElementType::kFloat32, {0, 3});
    owned.SetLogits({});
    owned.SetTargets(ElementType::kFloat32, {});
    owned.segment.options.normalizer = static_cast<Normalizer>(k);
    EXPECT_EQ(owned.Compute(cpu::BestInstructionSet()).loss, 0);
  }
}

TEST(NormalizerOf, IsAtLeastOneWhereItCounts) {
  OwnedSegment owned(ElementType::kFloat32, {0, 3});
  for (const Normalizer normalizer :
       {Normalizer::kElements, Normalizer::kValid, Normalizer::kBatch,
        Normalizer::kNonzeroWeights}) {
    owned.segment.options.normalizer = normalizer;
    EXPECT_EQ(NormalizerOf(owned.segment, Totals()), 1);
  }
  owned.segment.options.normalizer = Normalizer::kWeightSum;
  EXPECT_EQ(NormalizerOf(owned.segment, Totals()), 0);
  EXPECT_EQ(GradientScale(owned.segment, 0), 0);
}

TEST(BadElements, AreFoundByTheirIndexInTheSegment) {
  for (const bool exact : {false, true}) {
    OwnedSegment owned(ElementType::kFloat32, {3 * kBlockElements});
    std::vector<double> logits(3 * kBlockElements, 1);
    std::vector<double> targets(3 * kBlockElements, 0);
    logits[2100] = logits[4099] = std::numeric_limits<double>::quiet_NaN();
    targets[4100] = 1.5;
    targets[6000] = -0.25;
    owned.SetLogits(logits);
    owned.SetTargets(ElementType::kFloat32, targets);
    if (exact) owned.SetWeights({2}, {0});
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      const Totals totals = owned.Compute(set).totals;
      EXPECT_EQ(totals.nan_count, 2u) << set.name;
      EXPECT_EQ(totals.first_nan, 2100u) << set.name;
      EXPECT_EQ(totals.first_bad_target, 4100u) << set.name;
    }
  }
}

TEST(BadElements, DoNotHideInRounding) {
  OwnedSegment owned(ElementType::kFloat32, {2});
  owned.SetLogits({1, 1});
  owned.SetTargets(ElementType::kFloat64, {0.5, 1 + 1e-12});
  EXPECT_EQ(owned.Compute(cpu::BestInstructionSet()).totals.first_bad_target,
            1u);
}

TEST(BadElements, IgnoredTargetsAreComparedExactlyInTheirOwnType) {
  OwnedSegment owned(ElementType::kFloat32, {2});
  owned.SetLogits({1, 1});
  owned.SetTargets(ElementType::kFloat64, {0.1, 0.1 + 1e-15});
  owned.segment.options.ignore_target = 0.1;
  EXPECT_EQ(owned.Compute(cpu::BestInstructionSet()).totals.valid_count, 1u);
}

}  // namespace
}  // namespace lossd::kernels
