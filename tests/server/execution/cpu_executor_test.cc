// The executor with a kernel that only records which thread computed what, and
// when.
#include "server/execution/cpu_executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/batcher.h"
#include "tests/server/execution/data_task.h"
#include "tests/server/fake_clock.h"

namespace lossd::execution {
namespace {

using batching::Batcher;
using batching::BatcherOptions;
using kernels::BlockPartial;
using kernels::Segment;

constexpr uint64_t kBlock = kernels::kBlockElements;

// The calls of the marking kernel since the test began. A kernel is two plain
// functions, which have nowhere else to write to.
struct Marks {
  std::atomic<uint64_t> blocks_counted{0};
  std::atomic<uint64_t> blocks_computed{0};
  std::atomic<uint64_t> computed_too_early{0};
  uint64_t blocks_to_count = 0;
  // The first compute calls wait until this many threads are in one.
  absl::Mutex mu;
  int expected ABSL_GUARDED_BY(mu) = 0;
};
std::unique_ptr<Marks> marks;

void MarkCounted(const Segment& segment, uint64_t first,
                 std::span<BlockPartial> partials) {
  for (BlockPartial& partial : partials) {
    const uint64_t begin = first++ * kBlock;
    partial = {};
    partial.valid_count =
        static_cast<uint32_t>(std::min(kBlock, segment.element_count - begin));
  }
  marks->blocks_counted += partials.size();
}

void Meet() {
  absl::MutexLock lock(&marks->mu);
  if (marks->expected > 0) --marks->expected;
  auto all_there = []() ABSL_SHARED_LOCKS_REQUIRED(marks->mu) {
    return marks->expected == 0;
  };
  marks->mu.Await(absl::Condition(&all_there));
}

// Writes the scale into the gradient, and each block's number into its loss
// sum.
void MarkComputed(const Segment& segment, double gradient_scale, uint64_t first,
                  std::span<BlockPartial> partials) {
  if (marks->blocks_counted < marks->blocks_to_count) {
    ++marks->computed_too_early;
  }
  Meet();
  auto* gradient = reinterpret_cast<float*>(segment.gradient);
  for (BlockPartial& partial : partials) {
    const uint64_t begin = first * kBlock;
    const uint64_t end = std::min(begin + kBlock, segment.element_count);
    for (uint64_t i = begin; gradient != nullptr && i < end; ++i) {
      gradient[i] = static_cast<float>(gradient_scale);
    }
    partial = {};
    partial.loss_sum = static_cast<double>(first++);
    partial.valid_count = static_cast<uint32_t>(end - begin);
  }
  marks->blocks_computed += partials.size();
}

const kernels::cpu::InstructionSet kMarking = {"MARKING", MarkCounted,
                                               MarkComputed};

class CpuExecutorTest : public ::testing::Test {
 protected:
  CpuExecutorTest() { marks = std::make_unique<Marks>(); }

  void Build(int threads) {
    const BatcherOptions options = {
        .max_batch_requests = 8,
        .max_batch_elements = static_cast<int64_t>(8 * kBlock),
        .executors = threads,
        .min_portion_elements = static_cast<int64_t>(2 * kBlock),
        .max_inline_elements = static_cast<int64_t>(kBlock)};
    batcher_ = std::make_unique<Batcher>(options, &clock_);
    executor_ = std::make_unique<CpuExecutor>(
        CpuExecutorOptions{.threads = threads, .instruction_set = &kMarking},
        &metrics_, &clock_);
  }
  DataTask& NewTask(uint64_t elements) {
    return tasks_.emplace_back(elements, static_cast<unsigned>(tasks_.size()));
  }
  DataTask& NewCountedTask(uint64_t elements) {
    DataTask& task = NewTask(elements);
    task.segment.options.normalizer = kernels::Normalizer::kValid;
    return task;
  }
  void TearDown() override {
    batcher_->Close();
    executor_->Join();
  }

  FakeClock clock_;
  observability::Metrics metrics_{"test", "cpu"};
  std::deque<DataTask> tasks_;
  std::unique_ptr<Batcher> batcher_;
  std::unique_ptr<CpuExecutor> executor_;
};

TEST_F(CpuExecutorTest, IsNamedAfterItsInstructionSet) {
  Build(1);
  EXPECT_EQ(executor_->backend(), "cpu/MARKING");
}

TEST_F(CpuExecutorTest, ComputesEveryBlockOfATaskOnceAndAnswers) {
  Build(1);
  executor_->Start(*batcher_);
  DataTask& task = NewTask(20 * kBlock + 7);
  clock_.Advance(absl::Seconds(3));
  batcher_->Enqueue(&task);
  task.finished.WaitForNotification();
  EXPECT_TRUE(task.was_computed);
  EXPECT_EQ(marks->blocks_computed, 21u);
  EXPECT_EQ(marks->blocks_counted, 0u);
  EXPECT_EQ(task.answer.totals.loss_sum, 210);  // 0 + 1 + ... + 20
  EXPECT_EQ(task.answer.totals.valid_count, 20 * kBlock + 7);
  EXPECT_EQ(task.answer.backend, "cpu/MARKING");
  EXPECT_EQ(task.answer.finished, clock_.Now());
  for (float g : task.gradient()) {
    ASSERT_EQ(g, static_cast<float>(1.0 / (20 * kBlock + 7)));
  }
}

TEST_F(CpuExecutorTest, OneHugeTaskIsComputedByAllThreadsAtOnce) {
  Build(3);
  {
    absl::MutexLock lock(&marks->mu);
    marks->expected = 3;
  }
  executor_->Start(*batcher_);
  DataTask& task = NewTask(40 * kBlock);
  batcher_->Enqueue(&task);
  task.finished.WaitForNotification();  // hangs unless three threads meet
  EXPECT_EQ(marks->blocks_computed, 40u);
}

TEST_F(CpuExecutorTest, ManySmallTasksAreAllAnswered) {
  Build(2);
  for (int i = 0; i < 500; ++i) NewTask(1 + i % 3000);
  for (DataTask& task : tasks_) batcher_->Enqueue(&task);
  executor_->Start(*batcher_);
  for (DataTask& task : tasks_) {
    task.finished.WaitForNotification();
    ASSERT_TRUE(task.was_computed);
    ASSERT_EQ(task.answer.totals.valid_count, task.segment.element_count);
  }
}

TEST_F(CpuExecutorTest, NoBlockIsComputedBeforeAllAreCounted) {
  Build(3);
  executor_->Start(*batcher_);
  DataTask& task = NewCountedTask(50 * kBlock + 3);
  marks->blocks_to_count = 51;
  batcher_->Enqueue(&task);
  task.finished.WaitForNotification();
  EXPECT_EQ(marks->blocks_counted, 51u);
  EXPECT_EQ(marks->blocks_computed, 51u);
  EXPECT_EQ(marks->computed_too_early, 0u);
  EXPECT_EQ(task.answer.normalizer, 50 * kBlock + 3);
  for (float g : task.gradient()) {
    ASSERT_EQ(g, static_cast<float>(1.0 / (50 * kBlock + 3)));
  }
}

TEST_F(CpuExecutorTest, ASmallTaskIsCountedAndComputedInOneBatch) {
  Build(1);
  DataTask& task = NewCountedTask(100);
  batcher_->Enqueue(&task);
  executor_->Run(*batcher_->Take());
  EXPECT_TRUE(task.was_computed);
  EXPECT_EQ(task.answer.normalizer, 100);
  EXPECT_EQ(marks->blocks_counted, 1u);
  EXPECT_EQ(marks->blocks_computed, 1u);
}

TEST_F(CpuExecutorTest, TasksOfBothKindsShareThreadsAndAreAllRight) {
  Build(3);
  for (int i = 0; i < 60; ++i) {
    const uint64_t elements = i % 4 == 0 ? 30 * kBlock + 1 : 100;
    i % 3 == 0 ? NewCountedTask(elements) : NewTask(elements);
  }
  executor_->Start(*batcher_);
  for (DataTask& task : tasks_) batcher_->Enqueue(&task);
  for (DataTask& task : tasks_) {
    task.finished.WaitForNotification();
    ASSERT_TRUE(task.was_computed);
    const double expected =
        1.0 / static_cast<double>(task.segment.element_count);
    for (float g : task.gradient()) ASSERT_EQ(g, static_cast<float>(expected));
  }
}

TEST_F(CpuExecutorTest, RunsOnTheCallersThreadWithoutBeingStarted) {
  Build(1);
  DataTask& task = NewTask(64);
  batcher_->Enqueue(&task, /*may_run_inline=*/true);
  batcher_->RunInline(*executor_);
  EXPECT_TRUE(task.was_computed);
  EXPECT_EQ(batcher_->busy_executors(), 0);
}

TEST_F(CpuExecutorTest, WhatWasAcceptedBeforeTheCloseIsComputed) {
  Build(2);
  for (int i = 0; i < 20; ++i) NewCountedTask(20 * kBlock);
  for (DataTask& task : tasks_) batcher_->Enqueue(&task);
  executor_->Start(*batcher_);
  batcher_->Close();
  executor_->Join();
  for (DataTask& task : tasks_) {
    ASSERT_TRUE(task.finished.HasBeenNotified());
    EXPECT_TRUE(task.was_computed);
  }
}

TEST_F(CpuExecutorTest, WithoutAGradientNothingNeedsToBeCountedFirst) {
  Build(1);
  executor_->Start(*batcher_);
  DataTask& task = NewCountedTask(10 * kBlock);
  task.segment.gradient = nullptr;
  batcher_->Enqueue(&task);
  task.finished.WaitForNotification();
  EXPECT_EQ(marks->blocks_counted, 0u);
  EXPECT_EQ(task.answer.normalizer, 10 * kBlock);
}

}  // namespace
}  // namespace lossd::execution
