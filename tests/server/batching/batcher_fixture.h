// A batcher whose executors are threads that a test starts, or the test itself.
#ifndef LOSSD_TESTS_SERVER_BATCHING_BATCHER_FIXTURE_H_
#define LOSSD_TESTS_SERVER_BATCHING_BATCHER_FIXTURE_H_

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/batching/batcher.h"
#include "tests/server/batching/completing_runner.h"
#include "tests/server/batching/recording_task.h"
#include "tests/server/fake_clock.h"

namespace lossd::batching {

inline constexpr int64_t kBlock = kernels::kBlockElements;
inline constexpr BatcherOptions kOptions = {.max_batch_requests = 4,
                                            .max_batch_elements = 8 * kBlock,
                                            .executors = 1,
                                            .min_portion_elements = 2 * kBlock};

// A batcher on a fake clock. At the end of a test all batches in flight and all
// waiting tasks are completed.
class BatcherFixture : public ::testing::Test {
 protected:
  // A task that lives as long as the batcher.
  RecordingTask& NewTask(uint64_t elements,
                         absl::Time deadline = absl::InfiniteFuture()) {
    return tasks_.emplace_back(elements, deadline);
  }
  void Build(const BatcherOptions& options) {
    batcher_ = std::make_unique<Batcher>(options, &clock_);
  }
  // Starts a thread that takes one batch and keeps it until the test ends it.
  void TakeOnThread() {
    threads_.emplace_back([this] {
      std::optional<Batch> batch = batcher_->Take();
      absl::MutexLock lock(&mu_);
      if (batch) taken_.push_back(*std::move(batch));
      ++returned_;
    });
  }
  // Blocks until `count` of the threads have returned from Take().
  void AwaitReturned(int count) {
    absl::MutexLock lock(&mu_);
    auto there = [&] { return returned_ == count; };
    mu_.Await(absl::Condition(&there));
  }
  // Starts threads that run all batches until the batcher is closed.
  void RunOnThreads(int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this] {
        while (std::optional<Batch> batch = batcher_->Take()) {
          runner_.Run(*std::move(batch));
        }
      });
    }
  }
  // Completes the batches in flight and computes the tasks that wait.
  void TearDown() override {
    batcher_->Close();
    for (std::thread& thread : threads_) thread.join();
    while (!taken_.empty()) {
      runner_.Run(std::move(taken_.front()));
      taken_.pop_front();
    }
    while (std::optional<Batch> batch = batcher_->Take()) {
      runner_.Run(*std::move(batch));
    }
    EXPECT_EQ(batcher_->busy_executors(), 0);
    EXPECT_EQ(batcher_->queued_elements(), 0);
  }

  FakeClock clock_;
  std::deque<RecordingTask> tasks_;
  CompletingRunner runner_;
  std::unique_ptr<Batcher> batcher_;
  std::vector<std::thread> threads_;
  absl::Mutex mu_;
  std::deque<Batch> taken_;
  int returned_ = 0;
};

}  // namespace lossd::batching

#endif  // LOSSD_TESTS_SERVER_BATCHING_BATCHER_FIXTURE_H_
