#include "server/batching/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/server/batching/batcher_fixture.h"

namespace lossd::batching {
namespace {

using ::testing::HasSubstr;

using BatcherTest = BatcherFixture;

TEST_F(BatcherTest, SmallTasksShareABatch) {
  Build(kOptions);
  RecordingTask& a = NewTask(64);
  RecordingTask& b = NewTask(100);
  RecordingTask& c = NewTask(1);
  for (Task* task : {&a, &b, &c}) batcher_->Enqueue(task);
  EXPECT_EQ(batcher_->queued_requests(), 3);
  {
    std::optional<Batch> batch = batcher_->Take();
    ASSERT_EQ(batch->portions.size(), 3u);
    EXPECT_EQ(batch->elements, 165);
    EXPECT_EQ(batch->taken, clock_.Now());
    EXPECT_EQ(batcher_->busy_executors(), 1);
    EXPECT_EQ(batcher_->queued_requests(), 0);
    runner_.Run(*std::move(batch));
  }
  EXPECT_EQ(batcher_->busy_executors(), 0);
  EXPECT_EQ(c.answer.batch_requests, 3);
  EXPECT_EQ(c.answer.batch_elements, 165);
  EXPECT_EQ(c.answer.started, clock_.Now());
}

TEST_F(BatcherTest, ATaskWithoutElementsIsAnsweredAtOnceAndNeverQueued) {
  Build(kOptions);
  for (const bool may_run_inline : {false, true}) {
    RecordingTask& empty = NewTask(0);
    batcher_->Enqueue(&empty, may_run_inline);
    ASSERT_TRUE(empty.was_computed);
    EXPECT_EQ(empty.answer.totals.loss_sum, 0);
    EXPECT_EQ(empty.answer.totals.valid_count, 0u);
    EXPECT_EQ(empty.answer.normalizer, 1);
    EXPECT_EQ(empty.answer.batch_requests, 0);
    EXPECT_EQ(empty.answer.batch_elements, 0);
    EXPECT_EQ(empty.answer.started, clock_.Now());
    EXPECT_EQ(empty.answer.finished, clock_.Now());
    EXPECT_EQ(empty.answer.backend, "");
    EXPECT_EQ(batcher_->queued_requests(), 0);
    EXPECT_FALSE(batcher_->Remove(&empty));
  }
  batcher_->RunInline(runner_);
  EXPECT_EQ(runner_.batches, 0);
}

// Counts of nothing are known at once, so the task has no second phase.
TEST_F(BatcherTest, ACountedTaskWithoutElementsIsAnsweredAtOnce) {
  Build(kOptions);
  RecordingTask& empty = NewTask(0);
  empty.NeedCounts();
  batcher_->Enqueue(&empty);
  EXPECT_TRUE(empty.was_computed);
  EXPECT_EQ(empty.answer.normalizer, 1);
}

TEST_F(BatcherTest,
       ATaskWithoutElementsIsAnsweredWhileAllAreBusyAndAfterClose) {
  Build(kOptions);
  batcher_->Enqueue(&NewTask(1));
  std::optional<Batch> batch = batcher_->Take();
  RecordingTask& beside = NewTask(0, clock_.Now());
  batcher_->Enqueue(&beside);
  EXPECT_TRUE(beside.was_computed);
  runner_.Run(*std::move(batch));
  batcher_->Close();
  RecordingTask& late = NewTask(0);
  batcher_->Enqueue(&late);
  EXPECT_TRUE(late.was_computed);
}

TEST_F(BatcherTest, AHugeTaskIsCarvedIntoPortionsThatCoverItOnce) {
  Build(kOptions);
  RecordingTask& huge = NewTask(19 * kBlock + 5);
  batcher_->Enqueue(&huge);
  uint64_t next = 0;
  while (!huge.finished.HasBeenNotified()) {
    std::optional<Batch> batch = batcher_->Take();
    ASSERT_EQ(batch->portions.size(), 1u);
    EXPECT_EQ(batch->portions[0].first_block, next);
    EXPECT_LE(batch->elements, 8 * kBlock);
    next += batch->portions[0].block_count;
    runner_.Run(*std::move(batch));
  }
  EXPECT_EQ(next, 20u);
  EXPECT_EQ(huge.answer.batch_requests, 1);
  EXPECT_EQ(huge.answer.batch_elements, 8 * kBlock);
}

TEST_F(BatcherTest, ALoneHugeTaskWakesEveryIdleExecutor) {
  BatcherOptions options = kOptions;
  options.executors = 2;
  Build(options);
  TakeOnThread();
  TakeOnThread();
  clock_.AwaitWaiters(2);
  RecordingTask& huge = NewTask(8 * kBlock);
  batcher_->Enqueue(&huge);
  AwaitReturned(2);  // hangs if only one is woken
  EXPECT_EQ(taken_[0].portions[0].task, &huge);
  EXPECT_EQ(taken_[1].portions[0].task, &huge);
  EXPECT_EQ(taken_[0].elements + taken_[1].elements, 6 * kBlock);
}

TEST_F(BatcherTest, ASmallTaskWakesOnlyOneExecutor) {
  BatcherOptions options = kOptions;
  options.executors = 3;
  Build(options);
  for (int i = 0; i < 3; ++i) TakeOnThread();
  clock_.AwaitWaiters(3);
  RecordingTask& small = NewTask(64);
  batcher_->Enqueue(&small);
  AwaitReturned(1);
  clock_.AwaitWaiters(2);  // the other two still sleep
}

TEST_F(BatcherTest, NoMoreBatchesAreInFlightThanThereAreExecutors) {
  Build(kOptions);
  TakeOnThread();
  TakeOnThread();
  clock_.AwaitWaiters(2);
  RecordingTask& huge = NewTask(100 * kBlock);
  batcher_->Enqueue(&huge);
  AwaitReturned(1);
  clock_.AwaitWaiters(1);
  EXPECT_EQ(batcher_->busy_executors(), 1);
  // The other thread can take a batch only when the first one has ended.
  Batch first = std::move(taken_.front());
  taken_.pop_front();
  runner_.Run(std::move(first));
  AwaitReturned(2);
  EXPECT_EQ(batcher_->busy_executors(), 1);
}

TEST_F(BatcherTest, WhatWaitsWhileAllAreBusyCoalesces) {
  Build(kOptions);
  RecordingTask& first = NewTask(1);
  RecordingTask& a = NewTask(1);
  RecordingTask& b = NewTask(1);
  RecordingTask& c = NewTask(1);
  batcher_->Enqueue(&first);
  std::optional<Batch> batch = batcher_->Take();
  for (Task* task : {&a, &b, &c}) batcher_->Enqueue(task);
  runner_.Run(*std::move(batch));
  std::optional<Batch> next = batcher_->Take();
  EXPECT_EQ(next->portions.size(), 3u);
  runner_.Run(*std::move(next));
}

TEST_F(BatcherTest, ARemovedTaskIsTheCallersAgainAndIsNeverFinished) {
  Build(kOptions);
  RecordingTask& a = NewTask(64);
  RecordingTask& b = NewTask(64);
  batcher_->Enqueue(&a);
  batcher_->Enqueue(&b);
  EXPECT_TRUE(batcher_->Remove(&a));
  std::optional<Batch> batch = batcher_->Take();
  ASSERT_EQ(batch->portions.size(), 1u);
  EXPECT_EQ(batch->portions[0].task, &b);
  EXPECT_FALSE(batcher_->Remove(&b));
  runner_.Run(*std::move(batch));
  EXPECT_FALSE(a.finished.HasBeenNotified());
  EXPECT_TRUE(b.was_computed);
}

TEST_F(BatcherTest, ATaskThatExpiresWhileAllAreBusyIsDroppedAtTheNextTake) {
  Build(kOptions);
  RecordingTask& first = NewTask(1);
  RecordingTask& urgent = NewTask(1, clock_.Now() + absl::Milliseconds(5));
  RecordingTask& patient = NewTask(1);
  batcher_->Enqueue(&first);
  std::optional<Batch> batch = batcher_->Take();
  batcher_->Enqueue(&urgent);
  batcher_->Enqueue(&patient);
  clock_.Advance(absl::Milliseconds(5));
  runner_.Run(*std::move(batch));
  std::optional<Batch> next = batcher_->Take();
  ASSERT_TRUE(urgent.was_dropped());
  EXPECT_EQ(urgent.dropped.code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(next->portions.size(), 1u);
  EXPECT_EQ(next->portions[0].task, &patient);
  runner_.Run(*std::move(next));
}

TEST_F(BatcherTest, ATaskThatComesTooLateIsDroppedByAnIdleExecutor) {
  Build(kOptions);
  RunOnThreads(1);
  clock_.AwaitWaiters(1);
  RecordingTask& late = NewTask(1, clock_.Now() - absl::Seconds(1));
  batcher_->Enqueue(&late);
  late.finished.WaitForNotification();
  EXPECT_EQ(late.dropped.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(runner_.batches, 0);
}

TEST_F(BatcherTest, ThousandsOfExpiredTasksAreDroppedBeforeAnythingIsTaken) {
  Build(kOptions);
  std::vector<RecordingTask*> late;
  for (int i = 0; i < 3000; ++i) late.push_back(&NewTask(1, clock_.Now()));
  RecordingTask& patient = NewTask(1);
  batcher_->Enqueue(&patient);
  for (RecordingTask* task : late) batcher_->Enqueue(task);
  std::optional<Batch> batch = batcher_->Take();
  for (const RecordingTask* task : late) ASSERT_TRUE(task->was_dropped());
  ASSERT_EQ(batch->portions.size(), 1u);
  EXPECT_EQ(batch->portions[0].task, &patient);
  runner_.Run(*std::move(batch));
}

TEST_F(BatcherTest, ABegunTaskIsFinishedWhateverItsDeadline) {
  Build(kOptions);
  RecordingTask& huge =
      NewTask(10 * kBlock, clock_.Now() + absl::Milliseconds(5));
  batcher_->Enqueue(&huge);
  runner_.Run(*batcher_->Take());
  clock_.Advance(absl::Seconds(1));
  runner_.Run(*batcher_->Take());
  EXPECT_TRUE(huge.was_computed);
}

TEST_F(BatcherTest, ADeadlineLetsATaskOvertake) {
  Build(kOptions);
  RecordingTask& patient = NewTask(8 * kBlock);
  RecordingTask& urgent = NewTask(8 * kBlock, clock_.Now() + absl::Seconds(1));
  batcher_->Enqueue(&patient);
  batcher_->Enqueue(&urgent);
  runner_.Run(*batcher_->Take());
  EXPECT_TRUE(urgent.was_computed);
  EXPECT_FALSE(patient.finished.HasBeenNotified());
}

TEST_F(BatcherTest, AfterTheCloseWhatWaitsIsTakenAndWhatComesIsDropped) {
  Build(kOptions);
  RecordingTask& before = NewTask(1);
  RecordingTask& after = NewTask(1);
  batcher_->Enqueue(&before);
  batcher_->Close();
  batcher_->Enqueue(&after);
  ASSERT_TRUE(after.was_dropped());
  EXPECT_EQ(after.dropped.code(), absl::StatusCode::kUnavailable);
  runner_.Run(*batcher_->Take());
  EXPECT_TRUE(before.was_computed);
  EXPECT_FALSE(batcher_->Take().has_value());
}

TEST_F(BatcherTest, TheCloseEndsTheWaitOfExecutors) {
  Build(kOptions);
  for (int i = 0; i < 3; ++i) TakeOnThread();
  clock_.AwaitWaiters(3);
  batcher_->Close();
  AwaitReturned(3);
  EXPECT_TRUE(taken_.empty());
}

TEST_F(BatcherTest, NoExecutorLeavesWhileATaskIsBeingCounted) {
  BatcherOptions options = kOptions;
  options.executors = 2;
  Build(options);
  RecordingTask& huge = NewTask(4 * kBlock);
  huge.NeedCounts();
  batcher_->Enqueue(&huge);
  std::optional<Batch> half = batcher_->Take();
  std::optional<Batch> other_half = batcher_->Take();
  ASSERT_EQ(batcher_->queued_requests(), 0);
  batcher_->Close();
  RunOnThreads(2);
  clock_.AwaitWaiters(2);  // they wait although the queue is empty and closed
  runner_.Run(*std::move(half));
  runner_.Run(*std::move(other_half));
  huge.finished.WaitForNotification();
  EXPECT_TRUE(huge.was_computed);
}

TEST_F(BatcherTest, DropQueuedDropsWhatWasNotBegun) {
  Build(kOptions);
  RecordingTask& huge = NewTask(12 * kBlock);
  RecordingTask& a = NewTask(1);
  RecordingTask& b = NewTask(1);
  batcher_->Enqueue(&huge);
  runner_.Run(*batcher_->Take());
  batcher_->Enqueue(&a);
  batcher_->Enqueue(&b);
  batcher_->Close();
  batcher_->DropQueued(absl::UnavailableError("the drain ran out of time"));
  EXPECT_THAT(a.dropped.message(), HasSubstr("out of time"));
  EXPECT_TRUE(b.was_dropped());
  runner_.Run(*batcher_->Take());
  EXPECT_TRUE(huge.was_computed);
  EXPECT_FALSE(batcher_->Take().has_value());
}

TEST_F(BatcherTest, TheWaitIsNothingWhileAnExecutorIsIdleAndGrowsWithTheQueue) {
  Build(kOptions);
  EXPECT_EQ(batcher_->ExpectedWait(0), absl::ZeroDuration());
  RecordingTask& in_flight = NewTask(8 * kBlock);
  RecordingTask& huge = NewTask(16 * kBlock);
  for (int i = 0; i < 100; ++i) {
    RecordingTask& task = NewTask(8 * kBlock);
    batcher_->Enqueue(&task);
    std::optional<Batch> batch = batcher_->Take();
    clock_.Advance(absl::Seconds(1));
    runner_.Run(*std::move(batch));
  }
  batcher_->Enqueue(&in_flight);
  std::optional<Batch> batch = batcher_->Take();
  EXPECT_NEAR(absl::ToDoubleSeconds(batcher_->ExpectedWait(0)), 1.0, 0.01);
  batcher_->Enqueue(&huge);
  EXPECT_NEAR(absl::ToDoubleSeconds(batcher_->ExpectedWait(0)), 3.0, 0.03);
  runner_.Run(*std::move(batch));
}

TEST_F(BatcherTest, WithFewerExecutorsTheWaitIsLongerAndTheyAreFewerToBeIdle) {
  BatcherOptions options = kOptions;
  options.executors = 4;
  Build(options);
  batcher_->Enqueue(&NewTask(8 * kBlock));
  {
    std::optional<Batch> batch = batcher_->Take();
    clock_.Advance(absl::Seconds(1));
    runner_.Run(*std::move(batch));
  }
  batcher_->Enqueue(&NewTask(8 * kBlock));
  std::optional<Batch> in_flight = batcher_->Take();
  batcher_->Enqueue(&NewTask(8 * kBlock));
  const absl::Duration of_four = batcher_->ExpectedWait(0);
  EXPECT_GT(of_four, absl::ZeroDuration());
  batcher_->LoseExecutors(3);
  EXPECT_EQ(batcher_->executors(), 1);
  EXPECT_NEAR(absl::FDivDuration(batcher_->ExpectedWait(0), of_four), 4, 0.01);
  batcher_->LoseExecutors(3);
  EXPECT_EQ(batcher_->executors(), 1);
  runner_.Run(*std::move(in_flight));
  runner_.Run(*batcher_->Take());
}

}  // namespace
}  // namespace lossd::batching
