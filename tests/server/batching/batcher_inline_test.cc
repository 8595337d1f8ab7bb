#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/batching/batcher.h"
#include "tests/server/batching/completing_runner.h"
#include "tests/server/batching/recording_task.h"
#include "tests/server/fake_clock.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
constexpr BatcherOptions kOptions = {.max_batch_requests = 4,
                                     .max_batch_elements = 8 * kBlock,
                                     .executors = 1,
                                     .min_portion_elements = 2 * kBlock,
                                     .max_inline_elements = kBlock};

// Calls a function before it completes its first batch.
class InterruptedRunner final : public BatchRunner {
 public:
  explicit InterruptedRunner(std::function<void()> first)
      : first_(std::move(first)) {}
  void Run(Batch batch) override {
    if (first_) std::exchange(first_, nullptr)();
    runner.Run(std::move(batch));
  }
  CompletingRunner runner;

 private:
  std::function<void()> first_;
};

class RunInlineTest : public ::testing::Test {
 protected:
  // A task that lives as long as the batcher.
  RecordingTask& NewTask(uint64_t elements,
                         absl::Time deadline = absl::InfiniteFuture()) {
    return tasks_.emplace_back(elements, deadline);
  }
  void Build(const BatcherOptions& options, int threads) {
    batcher_ = std::make_unique<Batcher>(options, &clock_);
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this] {
        while (std::optional<Batch> batch = batcher_->Take()) {
          on_threads_.Run(*std::move(batch));
        }
      });
    }
    clock_.AwaitWaiters(static_cast<size_t>(threads));
  }
  void TearDown() override {
    batcher_->Close();
    for (std::thread& thread : threads_) thread.join();
    while (std::optional<Batch> batch = batcher_->Take()) {
      on_threads_.Run(*std::move(batch));
    }
  }

  FakeClock clock_;
  std::deque<RecordingTask> tasks_;
  CompletingRunner on_threads_;
  CompletingRunner inline_;
  std::unique_ptr<Batcher> batcher_;
  std::vector<std::thread> threads_;
};

TEST_F(RunInlineTest, SmallWorkRunsHereAndWakesNobody) {
  Build(kOptions, 1);
  RecordingTask& a = NewTask(64);
  RecordingTask& b = NewTask(64);
  batcher_->Enqueue(&a, /*may_run_inline=*/true);
  batcher_->Enqueue(&b, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  EXPECT_TRUE(a.was_computed);
  EXPECT_TRUE(b.was_computed);
  EXPECT_EQ(a.answer.batch_requests, 2);
  EXPECT_EQ(inline_.batches, 1);
  EXPECT_EQ(batcher_->busy_executors(), 0);
  clock_.AwaitWaiters(1);
  EXPECT_EQ(on_threads_.batches, 0);
}

TEST_F(RunInlineTest, WhatIsTooBigIsLeftToAThreadThatIsWoken) {
  Build(kOptions, 1);
  RecordingTask& big = NewTask(kBlock + 1);
  batcher_->Enqueue(&big, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  big.finished.WaitForNotification();  // hangs if nobody is woken
  EXPECT_EQ(inline_.batches, 0);
}

TEST_F(RunInlineTest, TogetherTooBigIsTooBig) {
  Build(kOptions, 1);
  RecordingTask& a = NewTask(kBlock / 2 + 1);
  RecordingTask& b = NewTask(kBlock / 2);
  batcher_->Enqueue(&a, /*may_run_inline=*/true);
  batcher_->Enqueue(&b, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  a.finished.WaitForNotification();
  b.finished.WaitForNotification();
  EXPECT_EQ(inline_.batches, 0);
}

TEST_F(RunInlineTest, NothingRunsHereWhereItIsSwitchedOff) {
  BatcherOptions options = kOptions;
  options.max_inline_elements = 0;
  Build(options, 1);
  RecordingTask& task = NewTask(1);
  batcher_->Enqueue(&task, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  task.finished.WaitForNotification();
  EXPECT_EQ(inline_.batches, 0);
}

TEST_F(RunInlineTest, NothingRunsHereWhileAllExecutorsAreBusy) {
  Build(kOptions, 0);
  RecordingTask& first = NewTask(1);
  RecordingTask& second = NewTask(1);
  batcher_->Enqueue(&first);
  std::optional<Batch> batch = batcher_->Take();
  batcher_->Enqueue(&second, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  EXPECT_FALSE(second.finished.HasBeenNotified());
  on_threads_.Run(*std::move(batch));
  batcher_->RunInline(inline_);
  EXPECT_TRUE(second.was_computed);
}

TEST_F(RunInlineTest, WhatComesMeanwhileIsRunHereTooIfItIsSmall) {
  Build(kOptions, 1);
  RecordingTask& first = NewTask(64);
  RecordingTask& second = NewTask(64);
  // Another RPC thread would do this too: all executors are busy, so it leaves
  // the task.
  InterruptedRunner runner([&] {
    batcher_->Enqueue(&second, /*may_run_inline=*/true);
    batcher_->RunInline(inline_);
    EXPECT_EQ(inline_.batches, 0);
  });
  batcher_->Enqueue(&first, /*may_run_inline=*/true);
  batcher_->RunInline(runner);
  EXPECT_TRUE(second.was_computed);
  EXPECT_EQ(runner.runner.batches, 2);
  clock_.AwaitWaiters(1);
  EXPECT_EQ(on_threads_.batches, 0);
}

TEST_F(RunInlineTest, WhatComesMeanwhileGoesToAThreadIfItIsBig) {
  Build(kOptions, 1);
  RecordingTask& first = NewTask(64);
  RecordingTask& second = NewTask(2 * kBlock);
  InterruptedRunner runner([&] { batcher_->Enqueue(&second); });
  batcher_->Enqueue(&first, /*may_run_inline=*/true);
  batcher_->RunInline(runner);
  second.finished.WaitForNotification();
  EXPECT_EQ(runner.runner.batches, 1);
}

TEST_F(RunInlineTest, ALongQueueOfTinyTasksIsHandedOnAfterAFewBatches) {
  Build(kOptions, 1);
  std::vector<RecordingTask*> tasks;
  for (int i = 0; i < 100; ++i) tasks.push_back(&NewTask(1));
  for (RecordingTask* task : tasks) {
    batcher_->Enqueue(task, /*may_run_inline=*/true);
  }
  batcher_->RunInline(inline_);
  for (RecordingTask* task : tasks) task->finished.WaitForNotification();
  EXPECT_EQ(inline_.batches, 4);
  EXPECT_EQ(on_threads_.batches, 21);
}

TEST_F(RunInlineTest, ExpiredTasksAreDroppedHere) {
  Build(kOptions, 0);
  std::vector<RecordingTask*> late;
  for (int i = 0; i < 600; ++i) late.push_back(&NewTask(1, clock_.Now()));
  RecordingTask& task = NewTask(1);
  for (RecordingTask* t : late) batcher_->Enqueue(t, /*may_run_inline=*/true);
  batcher_->Enqueue(&task, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  for (RecordingTask* t : late) ASSERT_TRUE(t->was_dropped());
  EXPECT_TRUE(task.was_computed);
}

TEST_F(RunInlineTest, AHeldBatchIsNotRunHereAndIsWatchedOver) {
  BatcherOptions options = kOptions;
  options.max_queue_delay = absl::Milliseconds(5);
  Build(options, 1);
  RecordingTask& task = NewTask(1);
  batcher_->Enqueue(&task, /*may_run_inline=*/true);
  batcher_->RunInline(inline_);
  EXPECT_EQ(inline_.batches, 0);
  clock_.AwaitWaiterUntil(clock_.Now() + absl::Milliseconds(5));
  clock_.Advance(absl::Milliseconds(5));
  task.finished.WaitForNotification();
  EXPECT_TRUE(task.was_computed);
}

// Keeps its batches; the test completes them.
class KeepingRunner final : public BatchRunner {
 public:
  void Run(Batch batch) override { kept.push_back(std::move(batch)); }
  std::deque<Batch> kept;
};

TEST_F(RunInlineTest, ABatchKeptBeyondRunWakesAThreadWhenItEnds) {
  Build(kOptions, 1);
  KeepingRunner keeper;
  RecordingTask& first = NewTask(1);
  RecordingTask& second = NewTask(1);
  batcher_->Enqueue(&first, /*may_run_inline=*/true);
  batcher_->RunInline(keeper);
  batcher_->Enqueue(&second);  // the only executor is busy
  ASSERT_EQ(keeper.kept.size(), 1u);
  Batch batch = std::move(keeper.kept.front());
  keeper.kept.clear();
  inline_.Run(std::move(batch));
  second.finished.WaitForNotification();  // hangs if the wake-up is lost
}

}  // namespace
}  // namespace lossd::batching
