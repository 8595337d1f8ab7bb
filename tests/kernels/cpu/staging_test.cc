#include "kernels/cpu/staging.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels::cpu {
namespace {

// Stages the first block of a segment.
template <class T>
StagedBlock<T> Staged(const OwnedSegment& owned, BlockPartial* partial) {
  StagedBlock<T> staged;
  Stager<T>(owned.segment).Stage(0, /*all=*/true, staged, *partial);
  return staged;
}

TEST(Stager, ConvertsEveryTargetType) {
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16,
        ElementType::kFloat16, ElementType::kUint8, ElementType::kBool,
        ElementType::kBit, ElementType::kInt32, ElementType::kInt64,
        ElementType::kInt8, ElementType::kInt16}) {
    OwnedSegment owned(ElementType::kFloat32, {11});
    const std::vector<double> targets = {0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1};
    owned.SetLogits(std::vector<double>(11, 0));
    owned.SetTargets(type, targets);
    BlockPartial partial;
    const auto narrow = Staged<float>(owned, &partial);
    const auto wide = Staged<double>(owned, &partial);
    for (size_t i = 0; i < targets.size(); ++i) {
      EXPECT_EQ(narrow.targets[i], targets[i]) << Name(type) << " " << i;
      EXPECT_EQ(wide.targets[i], targets[i]) << Name(type) << " " << i;
    }
  }
}

TEST(Stager, MarksIgnoredTargetsAndTakesTheirWeight) {
  OwnedSegment owned(ElementType::kFloat32, {3});
  owned.SetLogits({0, 0, 0});
  owned.SetTargets(ElementType::kInt32, {1, -1, 0});
  owned.SetWeights({2, 3, 4}, {1});
  owned.segment.options.ignore_target = -1;
  BlockPartial partial;
  const auto staged = Staged<float>(owned, &partial);
  EXPECT_EQ(staged.targets[1], StagedBlock<float>::kIgnored);
  EXPECT_EQ(staged.weights[1], 0);
  EXPECT_EQ(partial.weight_sum, 6);
  EXPECT_EQ(partial.valid_count, 2u);
  EXPECT_EQ(partial.first_bad_target, kNoIndex);
}

TEST(Stager, ConvertsEveryOperandTypeDenseAndBroadcast) {
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16,
        ElementType::kFloat16, ElementType::kUint8, ElementType::kBool,
        ElementType::kInt32, ElementType::kInt64, ElementType::kInt8,
        ElementType::kInt16}) {
    OwnedSegment owned(ElementType::kFloat64, {3, 2});
    owned.SetLogits(std::vector<double>(6, 0));
    owned.SetTargets(ElementType::kBool, std::vector<double>(6, 0));
    owned.SetWeights({3, 0, 1, 5, 100, 7}, {2, 1}, type);
    owned.SetPosWeight({4, 5, 1}, {1, 0}, type);
    owned.SetUpstream({8, 9}, {0, 1}, type);
    BlockPartial partial;
    const auto staged = Staged<double>(owned, &partial);
    const double weights[] = {3, 0, 1, 5, 100, 7};
    const double pos_weights[] = {4, 4, 5, 5, 1, 1};
    const double upstream[] = {8, 9, 8, 9, 8, 9};
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(staged.weights[i], weights[i]) << Name(type) << " " << i;
      EXPECT_EQ(staged.pos_weights[i], pos_weights[i]) << Name(type) << i;
      EXPECT_EQ(staged.upstream[i], upstream[i]) << Name(type) << " " << i;
    }
    EXPECT_EQ(partial.weight_sum, 116) << Name(type);
    EXPECT_EQ(partial.nonzero_weight_count, 5u) << Name(type);
  }
}

// A target, the ignored target, and whether they are equal before any rounding.
struct IgnoreCase {
  ElementType type;
  double target;
  double ignored;
  bool matches;
};

TEST(Stager, IgnoresATargetThatIsExactlyTheOneInEveryType) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const IgnoreCase cases[] = {
      {ElementType::kFloat32, 0.1f, 0.1f, true},
      {ElementType::kFloat32, 0.1f, 0.1, false},
      {ElementType::kFloat64, 0.1, 0.1, true},
      {ElementType::kFloat64, 0.1, 0.1f, false},
      {ElementType::kBFloat16, 0.1005859375, 0.1005859375, true},
      {ElementType::kBFloat16, 0.1, 0.1, false},
      {ElementType::kFloat16, -1, -1, true},
      {ElementType::kFloat16, 0.1, 0.1, false},
      {ElementType::kFloat16, 0x1p-24, 0x1p-24, true},
      {ElementType::kUint8, 255, 255, true},
      {ElementType::kUint8, 255, -1, false},
      {ElementType::kInt32, -1, -1, true},
      {ElementType::kInt32, 0, -0.0, true},
      {ElementType::kInt32, 1, 1.5, false},
      {ElementType::kInt64, 1, 1.5, false},
      {ElementType::kInt64, -0x1p63, -0x1p63, true},
      {ElementType::kInt64, 0, 0x1p63, false},
      {ElementType::kInt64, 0, kNan, false},
      {ElementType::kInt8, -100, -100, true},
      {ElementType::kInt8, -1, 255, false},
      {ElementType::kInt16, -32768, -32768, true},
      {ElementType::kInt16, 0, kNan, false},
      {ElementType::kUint8, 0, kNan, false},
      {ElementType::kFloat32, kNan, kNan, true},
      {ElementType::kFloat64, kNan, kNan, true},
      {ElementType::kBFloat16, kNan, kNan, true},
      {ElementType::kFloat16, kNan, kNan, true},
      {ElementType::kFloat32, 0, kNan, false},
      {ElementType::kFloat32, kNan, 0, false},
  };
  for (const IgnoreCase& c : cases) {
    for (const bool unit_interval : {true, false}) {
      OwnedSegment owned(ElementType::kFloat32, {1});
      owned.SetLogits({0});
      owned.SetTargets(c.type, {c.target});
      owned.segment.options.ignore_target = c.ignored;
      owned.segment.options.targets_in_unit_interval = unit_interval;
      BlockPartial partial;
      const auto staged = Staged<float>(owned, &partial);
      EXPECT_EQ(staged.targets[0] == StagedBlock<float>::kIgnored, c.matches)
          << Name(c.type) << " " << c.target << " and " << c.ignored;
      EXPECT_EQ(partial.valid_count, c.matches ? 0u : 1u);
      EXPECT_EQ(IsIgnored(owned.segment, 0), c.matches);
    }
  }
}

// float64 cannot tell 2^53 + 1 from 2^53.
TEST(Stager, TellsLargeInt64TargetsFromTheIgnoredOne) {
  const int64_t targets[] = {(int64_t{1} << 53) + 1, int64_t{1} << 53,
                             std::numeric_limits<int64_t>::max()};
  const Piece piece = std::as_bytes(std::span(targets));
  OwnedSegment owned(ElementType::kFloat64, {3});
  owned.SetLogits({0, 0, 0});
  owned.segment.targets = {ElementType::kInt64, {&piece, 1}};
  for (const auto& [ignored, index] : {std::pair(0x1p53, 1), {0x1p63, -1}}) {
    owned.segment.options.ignore_target = ignored;
    BlockPartial partial;
    const auto staged = Staged<double>(owned, &partial);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(staged.targets[i] == StagedBlock<double>::kIgnored, i == index);
      EXPECT_EQ(IsIgnored(owned.segment, i), i == index) << i;
    }
  }
}

TEST(Stager, StagesOnesOfAnyBlockInAnyOrder) {
  constexpr uint64_t kCount = 5 * kBlockElements + 3;
  OwnedSegment owned(ElementType::kFloat32, {kCount});
  std::vector<uint64_t> ones = {
      0,         1, kBlockElements - 1, kBlockElements, 3 * kBlockElements + 7,
      kCount - 1};
  for (const bool listed : {true, false}) {
    if (listed) {
      owned.SetOnes(ones);
    } else {
      owned.SetOnes(700, 1001, 9);
      for (ones.clear(); ones.size() < 9;)
        ones.push_back(700 + 1001 * ones.size());
    }
    Stager<float> stager(owned.segment);
    StagedBlock<float> staged;
    for (const uint64_t block : {0, 1, 2, 3, 4, 5, 3, 3, 0, 5, 1, 2}) {
      BlockPartial partial;
      stager.Stage(block, /*all=*/false, staged, partial);
      for (uint64_t i = 0; i < partial.valid_count; ++i) {
        const bool one = std::find(ones.begin(), ones.end(),
                                   block * kBlockElements + i) != ones.end();
        ASSERT_EQ(staged.targets[i], one ? 1 : 0) << block << " " << i;
      }
    }
  }
}

// The operands broadcast different dimensions.
TEST(Stager, BroadcastsOverAnyDimension) {
  OwnedSegment owned(ElementType::kFloat64, {2, 3, 2});
  owned.SetLogits(std::vector<double>(12, 0));
  owned.SetTargets(ElementType::kBool, std::vector<double>(12, 0));
  owned.SetWeights({1, 2, 3}, {0, 1, 0});
  owned.SetPosWeight({1, 2, 3, 4}, {2, 0, 1});
  owned.SetUpstream({7}, {0, 0, 0});
  BlockPartial partial;
  const auto staged = Staged<double>(owned, &partial);
  const double weights[] = {1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3};
  const double pos_weights[] = {1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4};
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(staged.weights[i], weights[i]) << i;
    EXPECT_EQ(staged.pos_weights[i], pos_weights[i]) << i;
    EXPECT_EQ(staged.upstream[i], 7) << i;
  }
}

}  // namespace
}  // namespace lossd::kernels::cpu
