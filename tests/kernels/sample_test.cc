#include "kernels/sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace lossd::kernels {
namespace {

TEST(SampledRuns, AreOneIn128ElementsOfAWholeBlock) {
  const SampledRuns runs(5, kBlockElements);
  EXPECT_EQ(runs.elements(), kBlockElements / 128);
  EXPECT_EQ(runs.end() - runs.begin(), 1);
}

TEST(SampledRuns, RiseWithinABlockOfAnySize) {
  for (uint64_t block = 0; block < 64; ++block) {
    for (uint64_t n = 1; n <= kBlockElements; ++n) {
      const SampledRuns runs(block, n);
      uint64_t end = 0;
      uint64_t elements = 0;
      for (const SampledRun& run : runs) {
        ASSERT_GE(run.begin, end) << block << " " << n;
        ASSERT_EQ(run.begin % kRunElements, 0u);
        ASSERT_GT(run.end, run.begin);
        ASSERT_LE(run.end - run.begin, kRunElements);
        end = run.end;
        elements += run.end - run.begin;
      }
      ASSERT_LE(end, n);
      ASSERT_EQ(elements, runs.elements());
      ASSERT_GE(elements, n == kBlockElements ? 16 : std::min<uint64_t>(n, 33))
          << block << " " << n;
    }
  }
}

TEST(SampledRuns, HaveAllOfASmallBlock) {
  for (uint64_t n = 1; n <= kRunsOfLastBlock * kRunElements; ++n) {
    EXPECT_EQ(SampledRuns(3, n).elements(), n);
  }
}

// Rows are often a power of two long, and a column is a class.
TEST(SampledRuns, VisitEveryColumnOfRowsAboutAsOften) {
  constexpr uint64_t kMean = 16;
  for (uint64_t length = 64; length <= 32 * kBlockElements; length *= 2) {
    std::vector<uint64_t> visits(length);
    const uint64_t blocks = kMean * length / kRunElements;
    for (uint64_t block = 0; block < blocks; ++block) {
      const uint64_t first = block * kBlockElements;
      for (const SampledRun& run : SampledRuns(block, kBlockElements)) {
        for (uint64_t i = run.begin; i < run.end; ++i) {
          ++visits[(first + i) % length];
        }
      }
    }
    const auto [least, most] = std::ranges::minmax_element(visits);
    EXPECT_GE(*least, kMean / 2) << length;
    EXPECT_LE(*most, 2 * kMean) << length;
  }
}

}  // namespace
}  // namespace lossd::kernels
