#include "server/batching/task.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/server/batching/recording_task.h"

namespace lossd::batching {
namespace {

constexpr uint64_t kBlock = kernels::kBlockElements;

TEST(Prepare, GivesATaskAPartialForEachBlock) {
  RecordingTask task(2 * kBlock + 1);
  Prepare(task);
  EXPECT_EQ(task.partials.size(), 3u);
  EXPECT_EQ(task.blocks_left, 3u);
  EXPECT_EQ(task.phase, Task::Phase::kComputing);
}

// Such a task goes to one executor whole, which needs no place for partials.
TEST(Prepare, GivesATaskOnADeviceNoPartials) {
  RecordingTask task(100 * kBlock);
  task.segment.device = 0;
  Prepare(task);
  EXPECT_EQ(task.partials.capacity(), 1u);
  EXPECT_EQ(task.blocks_left, 100u);
  EXPECT_EQ(PreparedBytes(task.segment), 0u);
}

TEST(PreparedBytes, AreThoseOfThePartialsUnlessTheTaskHasThemItself) {
  for (const uint64_t blocks : {0, 1, 2, 100}) {
    RecordingTask task(blocks * kBlock);
    Prepare(task);
    const bool own = task.partials.capacity() <= 1;
    EXPECT_EQ(PreparedBytes(task.segment),
              own ? 0 : blocks * sizeof(kernels::BlockPartial));
  }
}

TEST(Prepare, CountsFirstOnlyWhereAGradientIsScaledByCounts) {
  RecordingTask task(kBlock);
  task.NeedCounts();
  Prepare(task);
  EXPECT_EQ(task.phase, Task::Phase::kCounting);
  task.segment.gradient = nullptr;
  Prepare(task);
  EXPECT_EQ(task.phase, Task::Phase::kComputing);
}

TEST(Prepare, ScalesTheGradientByWhatIsKnownBeforehand) {
  RecordingTask task(1000);
  std::byte gradient;
  task.segment.gradient = &gradient;
  task.segment.options.loss_weight = 3;
  task.segment.upstream_scalar = 2;
  Prepare(task);
  EXPECT_DOUBLE_EQ(task.gradient_scale, 3.0 * 2.0 / 1000.0);
}

TEST(Prepare, MakesATaskThatIsUsedAgainAsGoodAsNew) {
  RecordingTask task(3 * kBlock);
  Prepare(task);
  task.next_block = 3;
  task.batch_requests = 7;
  task.segment.element_count = 1;
  Prepare(task);
  EXPECT_EQ(task.next_block, 0u);
  EXPECT_EQ(task.batch_requests, 0);
  EXPECT_EQ(task.partials.size(), 1u);
}

TEST(Prepare, GivesRowsTheirMemoryAndPreparedBytesChargeIt) {
  RecordingTask task(3 * kBlock / 2);
  task.GiveRows(kBlock / 2, kernels::Reduction::kRows);
  Prepare(task);
  EXPECT_EQ(task.rows.sums.size(), 3 + 2u);
  EXPECT_EQ(task.segment.row_sums, task.rows.sums.data());
  EXPECT_EQ(task.segment.row_counts, nullptr);
  constexpr uint64_t kPartials = 2 * sizeof(kernels::BlockPartial);
  EXPECT_EQ(PreparedBytes(task.segment), kPartials + 5 * sizeof(double));
  task.segment.options.normalizer = kernels::Normalizer::kValid;
  task.segment.options.ignore_target = 0;
  Prepare(task);
  EXPECT_EQ(task.rows.counts.size(), 5u);
  EXPECT_EQ(PreparedBytes(task.segment),
            kPartials + 5 * (sizeof(double) + sizeof(kernels::RowCounts)) +
                3 * sizeof(double));
}

// A row of one element costs a few bytes, and not a partial.
TEST(PreparedBytes, OfShortRowsAreProportionalToTheirNumber) {
  constexpr uint64_t kRows = uint64_t{1} << 20;
  RecordingTask task(kRows);
  task.GiveRows(1, kernels::Reduction::kMeanOfRows);
  task.segment.options.ignore_target = 0;
  EXPECT_LT(PreparedBytes(task.segment), kRows * 33);
  EXPECT_GT(PreparedBytes(task.segment), kRows * 31);
}

TEST(BeginComputing, GivesEachRowAFactorInPlaceOfItsUpstreamGradient) {
  RecordingTask task(3 * kBlock / 2);
  task.GiveRows(kBlock / 2, kernels::Reduction::kRows);
  task.NeedCounts();
  task.segment.options.ignore_target = 0;
  task.segment.options.loss_weight = 6;
  Prepare(task);
  ASSERT_EQ(task.phase, Task::Phase::kCounting);
  // The pieces of rows 0 to 2 have the numbers 0, 1 and 3: row plus block.
  task.rows.counts[0].valid_count = 2;
  task.rows.counts[1].valid_count = 0;
  task.rows.counts[3].valid_count = 3;
  BeginComputing(task, {});
  EXPECT_EQ(task.phase, Task::Phase::kComputing);
  EXPECT_EQ(task.gradient_scale, 1);
  EXPECT_EQ(task.rows.factors.factors, (std::vector<double>{3, 6, 2}));
  EXPECT_EQ(task.segment.upstream.tensor.pieces[0].size(), 3 * sizeof(double));
  EXPECT_FALSE(task.segment.checks_upstream);
}

TEST(AnswerOf, AMeanOfRowsLeavesOutRowsWithoutValidElements) {
  RecordingTask task(3 * kBlock / 2);
  task.GiveRows(kBlock / 2, kernels::Reduction::kMeanOfRows);
  task.NeedCounts();
  task.segment.options.ignore_target = 0;
  Prepare(task);
  task.rows.counts[0].valid_count = 2;
  task.rows.counts[3].valid_count = 4;
  task.rows.sums[0] = 3;
  task.rows.sums[3] = 10;
  const Computed answer = AnswerOf(task);
  EXPECT_EQ(answer.normalizer, 2);
  EXPECT_EQ(answer.totals.loss_sum, 3.0 / 2 + 10.0 / 4);
}

TEST(AnswerOf, OfNoElementsIsZeros) {
  RecordingTask task(0);
  Prepare(task);
  const Computed answer = AnswerOf(task);
  EXPECT_EQ(answer.totals.loss_sum, 0);
  EXPECT_EQ(answer.totals.valid_count, 0u);
  EXPECT_EQ(answer.normalizer, 1);  // a counted normalizer is at least 1
}

TEST(AnswerOf, AddsThePartialsUp) {
  RecordingTask task(2 * kBlock);
  Prepare(task);
  task.partials[0].loss_sum = 1.5;
  task.partials[0].valid_count = 2;
  task.partials[1].loss_sum = 2.25;
  task.partials[1].valid_count = 3;
  task.segment.options.normalizer = kernels::Normalizer::kValid;
  task.batch_requests = 4;
  const Computed answer = AnswerOf(task);
  EXPECT_EQ(answer.totals.loss_sum, 3.75);
  EXPECT_EQ(answer.totals.valid_count, 5u);
  EXPECT_EQ(answer.normalizer, 5);
  EXPECT_EQ(answer.batch_requests, 4);
}

}  // namespace
}  // namespace lossd::batching
