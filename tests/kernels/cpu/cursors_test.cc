#include "kernels/cpu/cursors.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace lossd::kernels::cpu {
namespace {

// The bytes 0, 1, ..., 39 in five pieces, two of them empty.
class PieceCursorTest : public testing::Test {
 protected:
  PieceCursorTest() {
    std::iota(bytes_.begin(), bytes_.end(), uint8_t{0});
    const Piece whole = std::as_bytes(std::span(bytes_));
    pieces_ = {whole.first(0), whole.first(7), whole.subspan(7, 20),
               whole.subspan(27, 0), whole.subspan(27)};
  }

  // Fetches with `cursor` and returns true if the right bytes came.
  bool Right(PieceCursor& cursor, uint64_t offset, size_t size) {
    const std::byte* from = cursor.Fetch(offset, size, scratch_);
    for (size_t i = 0; i < size; ++i) {
      if (std::to_integer<size_t>(from[i]) != offset + i) return false;
    }
    return true;
  }

  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(40);
  std::vector<Piece> pieces_;
  std::byte scratch_[40];
};

TEST_F(PieceCursorTest, LeavesBytesOfOnePieceWhereTheyLie) {
  PieceCursor cursor({ElementType::kFloat32, pieces_});
  EXPECT_EQ(cursor.Fetch(8, 16, scratch_), pieces_[2].data() + 1);
  EXPECT_EQ(cursor.Fetch(27, 13, scratch_), pieces_[4].data());
}

TEST_F(PieceCursorTest, GathersBytesOfSeveralPieces) {
  PieceCursor cursor({ElementType::kFloat32, pieces_});
  EXPECT_EQ(cursor.Fetch(0, 40, scratch_), scratch_);
  EXPECT_TRUE(Right(cursor, 0, 40));
}

TEST_F(PieceCursorTest, FindsEveryRangeFromEveryOtherForwardsAndBack) {
  std::mt19937 random(11);
  PieceCursor cursor({ElementType::kFloat32, pieces_});
  for (int trial = 0; trial < 5000; ++trial) {
    const uint64_t offset = random() % 41;
    const size_t size = random() % (41 - offset);
    ASSERT_TRUE(Right(cursor, offset, size)) << offset << " + " << size;
  }
}

TEST_F(PieceCursorTest, ReadsNothingOfAnAbsentTensor) {
  PieceCursor cursor({ElementType::kFloat32, {}});
  EXPECT_EQ(cursor.Fetch(0, 0, scratch_), scratch_);
}

// The first call searches. Each later call continues where the block follows
// the last one.
TEST(OnesCursor, MarksTheOnesOfEachRangeAlone) {
  const std::vector<uint64_t> indices = {3, 4, 9, 20, 21};
  OnesCursor cursor({.indices = indices});
  const auto marked = [&](uint64_t first, uint64_t n) {
    std::vector<float> to(n);
    cursor.Mark(first, n, 7.0f, to.data());
    return to;
  };
  EXPECT_EQ(marked(4, 6), (std::vector<float>{7, 0, 0, 0, 0, 7}));
  EXPECT_EQ(marked(10, 3), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(marked(13, 8), (std::vector<float>{0, 0, 0, 0, 0, 0, 0, 7}));
  EXPECT_EQ(marked(3, 1), (std::vector<float>{7}));
  EXPECT_EQ(marked(21, 2), (std::vector<float>{7, 0}));
}

TEST(OnesCursor, MarksAProgressionFromAnyElementOn) {
  OnesCursor cursor({.first = 2, .stride = 3, .count = 3});
  for (uint64_t first = 0; first < 12; ++first) {
    std::vector<double> to(4);
    cursor.Mark(first, 4, 1.0, to.data());
    for (uint64_t i = 0; i < 4; ++i) {
      const uint64_t at = first + i;
      EXPECT_EQ(to[i], at == 2 || at == 5 || at == 8 ? 1 : 0) << at;
    }
  }
}

TEST(OnesCursor, MarksNothingWithoutOnes) {
  OnesCursor cursor({});
  float to = 0;
  cursor.Mark(0, 1, 1.0f, &to);
  EXPECT_EQ(to, 0);
}

}  // namespace
}  // namespace lossd::kernels::cpu
