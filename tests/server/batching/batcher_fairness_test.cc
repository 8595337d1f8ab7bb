// Several connections share one batcher, and a lone request does not wait.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tests/server/batching/batcher_fixture.h"

namespace lossd::batching {
namespace {

constexpr BatcherOptions kFair = {.max_batch_requests = 4,
                                  .max_batch_elements = 8 * kBlock,
                                  .executors = 1,
                                  .min_portion_elements = 2 * kBlock,
                                  .flow_quantum_elements = 10 * kBlock};

class BatcherFairnessTest : public BatcherFixture {
 protected:
  RecordingTask& Enqueue(uint64_t flow, uint64_t elements,
                         absl::Time deadline = absl::InfiniteFuture()) {
    RecordingTask& task = NewTask(elements, deadline);
    task.flow = flow;
    batcher_->Enqueue(&task);
    return task;
  }
  void ComputeOne() { runner_.Run(*batcher_->Take()); }
  int64_t Computed(uint64_t flow) const {
    return std::count_if(tasks_.begin(), tasks_.end(), [&](const auto& task) {
      return task.flow == flow && task.was_computed;
    });
  }
  // Teaches the batcher that a block takes a second.
  void TeachCosts() {
    for (int i = 0; i < 200; ++i) {
      Enqueue(99, 8 * kBlock);
      std::optional<Batch> batch = batcher_->Take();
      clock_.Advance(absl::Seconds(8));
      runner_.Run(*std::move(batch));
    }
  }
};

TEST_F(BatcherFairnessTest, TenThousandTasksOfOneWorkerDelayAnotherByAQuantum) {
  Build(kFair);
  for (int i = 0; i < 10'000; ++i) Enqueue(1, 64);
  ComputeOne();
  const int64_t before = Computed(1);
  const RecordingTask& polite = Enqueue(2, 64);
  while (!polite.was_computed) ComputeOne();
  // These are the quantum and the tasks that filled up the same batch.
  EXPECT_LE(Computed(1) - before, 10 + 3);
}

TEST_F(BatcherFairnessTest, ManySmallRequestsDoNotStarveALargeOne) {
  Build(kFair);
  for (int i = 0; i < 1000; ++i) Enqueue(1, 64);
  const RecordingTask& large = Enqueue(2, 20 * kBlock);  // two quanta
  while (!large.was_computed) ComputeOne();
  EXPECT_LE(Computed(1), 2 * 10 + 3);
}

TEST_F(BatcherFairnessTest, ABatchHasTasksOfAllFlowsWhoseTurnItIs) {
  Build(kFair);
  for (uint64_t flow = 1; flow <= 4; ++flow) Enqueue(flow, 64);
  std::optional<Batch> batch = batcher_->Take();
  EXPECT_EQ(batch->portions.size(), 4u);
  runner_.Run(*std::move(batch));
}

TEST_F(BatcherFairnessTest, ATaskExpiresThoughItsFlowsTurnIsFarAway) {
  Build(kFair);
  const absl::Time deadline = clock_.Now() + absl::Milliseconds(5);
  for (int i = 0; i < 100; ++i) Enqueue(1, kBlock);
  const RecordingTask& late = Enqueue(2, 1000 * kBlock, deadline);
  clock_.Advance(absl::Milliseconds(5));
  ComputeOne();
  EXPECT_TRUE(late.was_dropped());
}

TEST_F(BatcherFairnessTest, OthersQueuesDoNotMakeADeadlineHopeless) {
  Build(kFair);
  TeachCosts();
  for (int i = 0; i < 1000; ++i) Enqueue(1, kBlock);
  EXPECT_NEAR(absl::ToDoubleSeconds(batcher_->ExpectedWait(1)), 1000, 20);
  EXPECT_NEAR(absl::ToDoubleSeconds(batcher_->ExpectedWait(2)), 10, 0.2);
}

TEST_F(BatcherFairnessTest, ALoneRequestIsTakenInTheMomentInWhichItComes) {
  Build(kFair);
  TakeOnThread();
  clock_.AwaitWaiters(1);
  RecordingTask& lone = NewTask(64);
  batcher_->Enqueue(&lone);
  AwaitReturned(1);  // hangs if it is held: this clock stands still
  EXPECT_EQ(taken_.front().portions.size(), 1u);
  EXPECT_EQ(taken_.front().taken, lone.enqueued);
}

TEST_F(BatcherFairnessTest, ALoneSmallRequestIsTakenByTheThreadThatBroughtIt) {
  BatcherOptions options = kFair;
  options.max_inline_elements = kBlock;
  Build(options);
  RecordingTask& lone = NewTask(64);
  batcher_->Enqueue(&lone, /*may_run_inline=*/true);
  batcher_->RunInline(runner_);
  ASSERT_TRUE(lone.was_computed);
  EXPECT_EQ(lone.answer.started - lone.enqueued, absl::ZeroDuration());
  EXPECT_EQ(lone.answer.batch_requests, 1);
}

}  // namespace
}  // namespace lossd::batching
