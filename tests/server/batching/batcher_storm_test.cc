// Many threads at once: every task ends exactly once, on whichever thread.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "server/base/clock.h"
#include "server/batching/batcher.h"
#include "tests/server/batching/completing_runner.h"
#include "tests/server/batching/recording_task.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
constexpr int kProducers = 3;
constexpr int kTasksEach = 1500;

class BatcherStormTest : public ::testing::TestWithParam<BatcherOptions> {
 protected:
  BatcherStormTest() : batcher_(GetParam(), &clock_) {}

  // Adds a task: mostly a small one, sometimes a huge one, a late one, or one
  // of two phases.
  void AddTask(std::mt19937& random, std::deque<RecordingTask>& tasks) {
    const bool huge = random() % 8 == 0;
    const uint64_t elements = 1 + random() % (huge ? 40 * kBlock : kBlock);
    absl::Time deadline = absl::InfiniteFuture();
    if (random() % 4 == 0) {
      deadline = clock_.Now() + absl::Microseconds(random() % 400) -
                 absl::Microseconds(50);
    }
    tasks.emplace_back(elements, deadline);
    if (random() % 3 == 0) tasks.back().NeedCounts();
    tasks.back().flow = random() % 5;
    if (random() % 4 == 0) tasks.back().segment.device = 0;
  }

  // Acts as an RPC thread: enqueues in bursts, runs inline, and takes some
  // tasks back.
  void Produce(unsigned seed, std::deque<RecordingTask>& tasks) {
    std::mt19937 random(seed);
    while (tasks.size() < kTasksEach) {
      const bool runs_inline = random() % 2 == 0;
      for (unsigned burst = 1 + random() % 6; burst > 0; --burst) {
        AddTask(random, tasks);
        batcher_.Enqueue(&tasks.back(), runs_inline);
      }
      if (random() % 3 == 0) {
        RecordingTask& task = tasks[random() % tasks.size()];
        if (batcher_.Remove(&task)) {
          ++removed_;
          task.finished.Notify();  // crashes if it was finished, or ever is
          task.dropped = absl::CancelledError();
        }
      }
      if (runs_inline) batcher_.RunInline(runner_);
    }
  }

  SystemClock clock_;
  CompletingRunner runner_;
  Batcher batcher_;
  std::atomic<int> removed_{0};
};

TEST_P(BatcherStormTest, EveryTaskEndsExactlyOnce) {
  std::vector<std::thread> executors;
  for (int i = 0; i < GetParam().executors; ++i) {
    executors.emplace_back([this] {
      while (std::optional<Batch> batch = batcher_.Take()) {
        runner_.Run(*std::move(batch));
      }
    });
  }
  std::vector<std::deque<RecordingTask>> tasks(kProducers);
  std::vector<std::thread> producers;
  for (unsigned i = 0; i < kProducers; ++i) {
    producers.emplace_back([this, &tasks, i] { Produce(i, tasks[i]); });
  }
  for (std::thread& producer : producers) producer.join();
  batcher_.Close();
  for (std::thread& executor : executors) executor.join();

  int removed = 0;
  int computed = 0;
  for (const auto& of_producer : tasks) {
    for (const RecordingTask& task : of_producer) {
      ASSERT_TRUE(task.finished.HasBeenNotified());
      computed += task.was_computed;
      removed += absl::IsCancelled(task.dropped);
    }
  }
  EXPECT_EQ(removed, removed_);
  EXPECT_GT(computed, 0);
  EXPECT_EQ(batcher_.queued_requests(), 0);
  EXPECT_EQ(batcher_.queued_elements(), 0);
  EXPECT_EQ(batcher_.busy_executors(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Batchers, BatcherStormTest,
    ::testing::Values(BatcherOptions{.max_batch_requests = 8,
                                     .max_batch_elements = 8 * kBlock,
                                     .executors = 3,
                                     .min_portion_elements = 2 * kBlock,
                                     .max_inline_elements = 4 * kBlock},
                      BatcherOptions{.max_batch_requests = 3,
                                     .max_batch_elements = 8 * kBlock,
                                     .executors = 2},
                      BatcherOptions{.max_batch_requests = 8,
                                     .max_batch_elements = 16 * kBlock,
                                     .max_queue_delay = absl::Microseconds(100),
                                     .executors = 2,
                                     .min_portion_elements = kBlock,
                                     .max_inline_elements = kBlock}));

}  // namespace
}  // namespace lossd::batching
