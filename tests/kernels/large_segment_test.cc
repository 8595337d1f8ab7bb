// A segment of more elements than 32 bits can count: one mebibyte of memory, to
// which the pieces of its tensors point again and again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"

namespace lossd::kernels {
namespace {

constexpr uint64_t kPieceElements = uint64_t{1} << 18;
constexpr uint64_t kPieceCount = (uint64_t{1} << 32) / kPieceElements + 2;
// An index in the last piece, which lies beyond 2^32 elements.
constexpr uint64_t kLastPiece = (kPieceCount - 1) * kPieceElements;

class LargeSegmentTest : public testing::Test {
 protected:
  LargeSegmentTest()
      : common_(kPieceElements, -2.0f),
        last_(kPieceElements, 3.0f),
        logits_(kPieceCount, std::as_bytes(std::span(common_))),
        targets_(kPieceCount, std::as_bytes(std::span(zeros_))) {
    logits_.back() = std::as_bytes(std::span(last_));
    segment_.shape.rank = 1;
    segment_.shape.dims[0] = kPieceCount * kPieceElements;
    segment_.element_count = segment_.shape.dims[0];
    segment_.logits = {ElementType::kFloat32, logits_};
    segment_.targets = {ElementType::kUint8, targets_};
  }

  // Returns the partial of the block that holds element `index`.
  BlockPartial BlockOf(uint64_t index, const cpu::InstructionSet& set) const {
    BlockPartial partial;
    set.compute_blocks(segment_, 1, index / kBlockElements, {&partial, 1});
    return partial;
  }

  std::vector<float> common_, last_;
  std::vector<uint8_t> zeros_ = std::vector<uint8_t>(kPieceElements);
  std::vector<Piece> logits_, targets_;
  Segment segment_;
};

TEST_F(LargeSegmentTest, ReadsTheElementsBeyond32Bits) {
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    EXPECT_NEAR(BlockOf(kLastPiece - 1, set).loss_sum / kBlockElements,
                std::log1p(std::exp(-2.0)), 1e-6)
        << set.name;
    EXPECT_NEAR(BlockOf(kLastPiece, set).loss_sum / kBlockElements,
                3 + std::log1p(std::exp(-3.0)), 1e-6)
        << set.name;
  }
}

TEST_F(LargeSegmentTest, NamesDefectsByTheirWholeIndex) {
  last_[5000] = std::numeric_limits<float>::quiet_NaN();
  for (const bool exact : {false, true}) {
    if (exact) segment_.options.ignore_target = 7;
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      EXPECT_EQ(BlockOf(kLastPiece + 5000, set).first_nan, kLastPiece + 5000)
          << set.name;
    }
  }
  zeros_[5001] = 2;
  EXPECT_EQ(
      BlockOf(kLastPiece + 5001, cpu::BestInstructionSet()).first_bad_target,
      kLastPiece + 5001);
  EXPECT_TRUE(std::isnan(ElementAt(segment_.logits, kLastPiece + 5000)));
}

// Rows have 3 elements, so no block and no piece starts at the start of a row.
TEST_F(LargeSegmentTest, BroadcastsBeyond32Bits) {
  segment_.element_count -= segment_.element_count % 3;
  segment_.shape = {2, {segment_.element_count / 3, 3}};
  const std::vector<float> row = {1, 10, 100};
  const Piece piece = std::as_bytes(std::span(row));
  segment_.weights = {{ElementType::kFloat32, {&piece, 1}}, {0, 1}};
  const uint64_t first = kLastPiece;
  double expected = 0;
  for (uint64_t i = first; i < first + kBlockElements; ++i) {
    expected += row[i % 3];
  }
  BlockPartial counted;
  cpu::CountBlocks(segment_, first / kBlockElements, {&counted, 1});
  EXPECT_EQ(counted.weight_sum, expected);
  EXPECT_EQ(BlockOf(first, cpu::BestInstructionSet()).weight_sum, expected);
}

}  // namespace
}  // namespace lossd::kernels
