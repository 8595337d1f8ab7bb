// max_queue_delay holds a batch open for more tasks, on a fake clock.
#include <gtest/gtest.h>

#include <vector>

#include "tests/server/batching/batcher_fixture.h"

namespace lossd::batching {
namespace {

using BatcherHoldTest = BatcherFixture;

TEST_F(BatcherHoldTest, AHeldBatchIsTakenWhenTheOldestHasWaitedLongEnough) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Milliseconds(5);
  options.executors = 2;
  Build(options);
  TakeOnThread();
  TakeOnThread();
  clock_.AwaitWaiters(2);
  const absl::Time start = clock_.Now();
  RecordingTask& a = NewTask(1);
  RecordingTask& b = NewTask(1);
  batcher_->Enqueue(&a);
  clock_.AwaitWaiterUntil(start + absl::Milliseconds(5));
  clock_.Advance(absl::Milliseconds(3));
  batcher_->Enqueue(&b);
  EXPECT_EQ(batcher_->queued_requests(), 2);
  clock_.Advance(absl::Milliseconds(2));
  AwaitReturned(1);
  EXPECT_EQ(taken_.front().portions.size(), 2u);
}

TEST_F(BatcherHoldTest, AHeldBatchIsTakenAtOnceWhenItIsFull) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Hours(1);
  Build(options);
  TakeOnThread();
  clock_.AwaitWaiters(1);
  std::vector<RecordingTask*> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(&NewTask(1));
  for (RecordingTask* task : tasks) batcher_->Enqueue(task);
  AwaitReturned(1);
  EXPECT_EQ(taken_.front().portions.size(), 4u);
}

TEST_F(BatcherHoldTest, AHeldTaskIsTakenBeforeItsDeadlineAndNotDropped) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Hours(1);
  Build(options);
  RunOnThreads(1);
  clock_.AwaitWaiters(1);
  const absl::Time deadline = clock_.Now() + absl::Milliseconds(50);
  RecordingTask& task = NewTask(1, deadline);
  batcher_->Enqueue(&task);
  const absl::Time last_call =
      deadline - CostModel().Estimate(1, 1) - absl::Milliseconds(1);
  clock_.AwaitWaiterUntil(last_call);
  clock_.Set(last_call);
  task.finished.WaitForNotification();
  EXPECT_TRUE(task.was_computed);
}

TEST_F(BatcherHoldTest, AHoldEndsWithTheClose) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Hours(1);
  Build(options);
  RunOnThreads(2);
  clock_.AwaitWaiters(2);
  RecordingTask& task = NewTask(1);
  batcher_->Enqueue(&task);
  clock_.AwaitWaiterUntil(clock_.Now() + absl::Hours(1));
  batcher_->Close();
  task.finished.WaitForNotification();
  EXPECT_TRUE(task.was_computed);
}

TEST_F(BatcherHoldTest, AHoldOutlivesTheThreadThatWatchedOverIt) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Milliseconds(5);
  options.executors = 2;
  Build(options);
  TakeOnThread();
  TakeOnThread();
  clock_.AwaitWaiters(2);
  RecordingTask& first = NewTask(1);
  std::vector<RecordingTask*> full;
  for (int i = 0; i < 4; ++i) full.push_back(&NewTask(1));
  batcher_->Enqueue(full[0]);
  clock_.AwaitWaiterUntil(clock_.Now() + absl::Milliseconds(5));
  for (int i = 1; i < 4; ++i) batcher_->Enqueue(full[i]);
  AwaitReturned(1);
  // The thread that watched has taken the full batch. The other thread watches
  // over the next hold.
  batcher_->Enqueue(&first);
  clock_.AwaitWaiterUntil(clock_.Now() + absl::Milliseconds(5));
  clock_.Advance(absl::Milliseconds(5));
  AwaitReturned(2);
}

TEST_F(BatcherHoldTest, AClockThatGoesBackDoesNotHoldATaskForever) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Milliseconds(5);
  Build(options);
  RecordingTask& a = NewTask(1);
  batcher_->Enqueue(&a);
  clock_.Advance(absl::Hours(-1));
  std::optional<Batch> batch = batcher_->Take();
  ASSERT_TRUE(batch.has_value());
  runner_.Run(*std::move(batch));
}

}  // namespace
}  // namespace lossd::batching
