#include "server/batching/task.h"

#include <gtest/gtest.h>

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
