// The executor against fake devices: whatever they do, every task is answered
// once, with the bits of the CPU.
#include "server/execution/cuda/cuda_executor.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_kernel.h"
#include "server/batching/batcher.h"
#include "server/execution/cpu_executor.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/data_task.h"
#include "tests/server/fake_clock.h"
#include "tests/server/observability/exposition.h"

namespace lossd::execution::cuda {
namespace {

using batching::Batcher;
using batching::BatcherOptions;

absl::Status Passing() { return absl::InternalError("asked for"); }
absl::Status Sticky() { return absl::UnavailableError("asked for"); }

class CudaExecutorTest : public ::testing::Test {
 protected:
  // `requests`: of a batch, at most.
  void Build(int devices, int slots, int requests) {
    const BatcherOptions options = {.max_batch_requests = requests,
                                    .executors = devices * slots,
                                    .split_tasks = false};
    batcher_ = std::make_unique<Batcher>(options, &clock_);
    std::vector<std::unique_ptr<Device>> owned;
    devices_.clear();
    for (int k = 0; k < devices; ++k) {
      auto device =
          std::make_unique<FakeDevice>(&traces_, "cuda/" + std::to_string(k));
      devices_.push_back(device.get());
      owned.push_back(std::move(device));
    }
    auto pool = *SlotPool::Create(
        std::move(owned),
        {.slots_per_device = slots, .max_pinned_bytes = max_pinned_bytes_});
    pool_ = pool.get();
    executor_ = std::make_unique<CudaExecutor>(
        std::move(pool), cpu_, &metrics_, &clock_, [this] { ++none_left_; });
  }
  DataTask& Enqueue(uint64_t elements) {
    const auto seed = static_cast<unsigned>(tasks_.size());
    DataTask& task = tasks_.emplace_back(elements, seed);
    if (seed % 2 == 1) {  // normalised by what takes part
      task.segment.options.normalizer = kernels::Normalizer::kValid;
      task.segment.options.ignore_target = 1.0;
    }
    batcher_->Enqueue(&task);
    return task;
  }
  // On this thread, batch by batch.
  void RunAll() {
    while (batcher_->queued_requests() > 0) executor_->Run(*batcher_->Take());
  }
  void CloseAndJoin() {
    batcher_->Close();
    executor_->Join();
  }
  // Answered, with the loss and the gradient that the CPU gives alone.
  void ExpectRight(DataTask& task) {
    ASSERT_TRUE(task.finished.HasBeenNotified());
    ASSERT_TRUE(task.was_computed);
    const std::vector<uint32_t> gradient = task.gradient_bits();
    const kernels::cpu::InstructionSet& kernel =
        kernels::cpu::BestInstructionSet();
    const kernels::Segment& segment = task.segment;
    std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment));
    kernel.count_blocks(segment, 0, partials);
    const double normalizer =
        kernels::NormalizerOf(segment, kernels::Combine(partials));
    kernel.compute_blocks(segment, kernels::GradientScale(segment, normalizer),
                          0, partials);
    EXPECT_EQ(gradient, task.gradient_bits());
    EXPECT_EQ(task.answer.normalizer, normalizer);
    EXPECT_EQ(std::bit_cast<uint64_t>(task.answer.totals.loss_sum),
              std::bit_cast<uint64_t>(kernels::Combine(partials).loss_sum));
  }
  void ExpectAllRight() {
    for (DataTask& task : tasks_) ExpectRight(task);
  }
  double DeviceErrors() {
    const auto scraped = observability::Scrape(metrics_).samples;
    const auto sample =
        scraped.find("lossd_device_errors_total{device=\"cuda/0\"}");
    return sample == scraped.end() ? 0 : sample->second;
  }
  void TearDown() override {
    batcher_->Close();
    executor_.reset();
    EXPECT_EQ(traces_.misuses, 0);
  }

  FakeClock clock_;
  observability::Metrics metrics_{"test", "cuda"};
  CpuExecutor cpu_{{}, &metrics_, &clock_};
  DeviceTraces traces_;
  std::vector<FakeDevice*> devices_;  // the executor's
  std::deque<DataTask> tasks_;
  std::unique_ptr<Batcher> batcher_;
  uint64_t max_pinned_bytes_ = uint64_t{1} << 30;
  SlotPool* pool_ = nullptr;  // the executor's
  std::unique_ptr<CudaExecutor> executor_;
  std::atomic<int> none_left_ = 0;
};

TEST_F(CudaExecutorTest, IsNamedAfterItsFirstDevice) {
  Build(2, 3, 1);
  EXPECT_EQ(executor_->backend(), "cuda/0");
}

TEST_F(CudaExecutorTest, ComputesABatchInOneLaunchWithTheBitsOfTheCpu) {
  Build(1, 1, 8);
  for (uint64_t elements : {1, 100, 2048, 2049, 3000, 9000, 64, 20000}) {
    Enqueue(elements);
  }
  RunAll();
  ExpectAllRight();
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 1);
  EXPECT_EQ(tasks_[5].answer.backend, "cuda/0");
  EXPECT_EQ(tasks_[5].answer.batch_requests, 8);
  EXPECT_EQ(DeviceErrors(), 0);
}

TEST_F(CudaExecutorTest, ATaskWithoutAGradientGetsItsLossAlone) {
  Build(1, 1, 1);
  DataTask& task = tasks_.emplace_back(5000, 1);
  std::byte* const gradient = std::exchange(task.segment.gradient, nullptr);
  batcher_->Enqueue(&task);
  RunAll();
  task.segment.gradient = gradient;
  const std::vector<uint32_t> untouched(5000, 0);
  EXPECT_EQ(task.gradient_bits(), untouched);
  EXPECT_GT(task.answer.totals.loss_sum, 0);
}

// Three batches while call after call fails: which calls there are is not
// listed here, so a new one is tried too.
TEST_F(CudaExecutorTest, AnyCallThatFailsOnceCostsNoTask) {
  for (int nth = 0; nth < 1000; ++nth) {
    SCOPED_TRACE(nth);
    tasks_.clear();
    Build(1, 1, 2);
    const double errors = DeviceErrors();
    devices_[0]->FailCall(nth, Passing());
    for (uint64_t elements : {3000, 50, 70000, 2048, 1, 4097}) {
      Enqueue(elements);
    }
    traces_.failures = 0;
    RunAll();
    ExpectAllRight();
    const bool failed = traces_.failures > 0;
    EXPECT_EQ(DeviceErrors(), errors + (failed ? 1 : 0));
    // One batch of two went to the CPU, the others stayed.
    int on_cpu = 0;
    for (DataTask& task : tasks_) on_cpu += task.answer.backend != "cuda/0";
    EXPECT_EQ(on_cpu, failed ? 2 : 0);
    EXPECT_EQ(traces_.misuses, 0);
    batcher_->Close();
    executor_.reset();
    if (!failed) return;  // the failure lies beyond the last call
  }
  FAIL() << "the calls do not end";
}

TEST_F(CudaExecutorTest, ALostDeviceIsRetiredAfterOneError) {
  for (int nth = 0; nth < 1000; ++nth) {
    SCOPED_TRACE(nth);
    tasks_.clear();
    Build(1, 1, 2);
    const double errors = DeviceErrors();
    devices_[0]->FailCall(nth, Sticky());
    for (uint64_t elements : {3000, 50, 70000, 2048, 1, 4097}) {
      Enqueue(elements);
    }
    traces_.failures = 0;
    RunAll();
    ExpectAllRight();
    const bool failed = traces_.failures > 0;
    EXPECT_EQ(DeviceErrors(), errors + (failed ? 1 : 0));
    // From the first batch that failed on, all were the CPU's.
    bool retired = false;
    for (DataTask& task : tasks_) {
      const bool on_cpu = task.answer.backend != "cuda/0";
      EXPECT_TRUE(on_cpu || !retired);
      retired = retired || on_cpu;
    }
    EXPECT_EQ(retired, failed);
    batcher_->Close();
    executor_.reset();
    if (!failed) return;
  }
  FAIL() << "the calls do not end";
}

TEST_F(CudaExecutorTest, SlotsOverlap) {
  Build(1, 3, 1);
  devices_[0]->Hold();
  for (int k = 0; k < 3; ++k) Enqueue(1000);
  executor_->Start(*batcher_);
  devices_[0]->AwaitHeld(3);  // hangs unless three batches are out at once
  EXPECT_EQ(batcher_->busy_executors(), 3);
  devices_[0]->Release();
  for (DataTask& task : tasks_) task.finished.WaitForNotification();
  CloseAndJoin();
  ExpectAllRight();
}

// A device has an engine for copies in, one for kernels and one for copies out.
// Each takes the work of its kind in the order in which it was handed over, and
// what a stream was handed runs in its order. How long that takes if each piece
// of work takes 1.
int Makespan(const std::vector<DeviceWork>& work) {
  std::map<DeviceWork::Kind, int> engines;
  std::map<int, int> streams;
  int end = 0;
  for (const DeviceWork& piece : work) {
    int& engine = engines[piece.kind];
    int& stream = streams[piece.stream];
    engine = stream = std::max(engine, stream) + 1;
    end = std::max(end, engine);
  }
  return end;
}

// One after the other four batches would take 12. All are handed over before
// any is done, so nothing but the device decides when they run.
TEST_F(CudaExecutorTest, CopiesInKernelsAndCopiesOutOverlap) {
  Build(1, 4, 1);
  devices_[0]->Hold();
  executor_->Start(*batcher_);
  for (int k = 1; k <= 4; ++k) {
    Enqueue(1000);
    devices_[0]->AwaitHeld(k);
  }
  const std::vector<DeviceWork> work = devices_[0]->work();
  devices_[0]->Release();
  CloseAndJoin();
  ExpectAllRight();
  ASSERT_EQ(work.size(), 12u);
  EXPECT_EQ(Makespan(work), 4 + 2);
}

TEST_F(CudaExecutorTest, WhatIsDoneFirstIsAnsweredFirst) {
  Build(1, 2, 1);
  devices_[0]->Hold();
  executor_->Start(*batcher_);
  DataTask& older = Enqueue(1000);
  devices_[0]->AwaitHeld(1);
  DataTask& newer = Enqueue(1000);
  devices_[0]->AwaitHeld(2);
  devices_[0]->ReleaseNewest();
  newer.finished.WaitForNotification();
  EXPECT_FALSE(older.finished.HasBeenNotified());
  devices_[0]->Release();
  CloseAndJoin();
  ExpectAllRight();
}

TEST_F(CudaExecutorTest, TasksCoalesceWhileAllSlotsAreOut) {
  Build(1, 1, 64);
  devices_[0]->Hold();
  executor_->Start(*batcher_);
  Enqueue(10);
  devices_[0]->AwaitHeld(1);
  for (int k = 0; k < 20; ++k) Enqueue(100);
  devices_[0]->Release();
  CloseAndJoin();
  ExpectAllRight();
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 2);
  EXPECT_EQ(tasks_.back().answer.batch_requests, 20);
}

TEST_F(CudaExecutorTest, ClosingStillAnswersWhatIsQueuedAndWhatIsOut) {
  Build(1, 2, 3);
  devices_[0]->Hold();
  for (int k = 0; k < 40; ++k) Enqueue(1 + 700 * static_cast<uint64_t>(k));
  executor_->Start(*batcher_);
  devices_[0]->AwaitHeld(2);
  batcher_->Close();
  devices_[0]->Release();
  executor_->Join();
  ExpectAllRight();
}

TEST_F(CudaExecutorTest, ALostDeviceLeavesTheWorkToTheOthers) {
  Build(2, 2, 2);
  devices_[0]->FailCall(3, Sticky());
  executor_->Start(*batcher_);
  for (int k = 0; k < 200; ++k) Enqueue(1 + 31 * static_cast<uint64_t>(k));
  CloseAndJoin();
  ExpectAllRight();
  // Each of the two slots may have been in use when the device was lost.
  EXPECT_LE(DeviceErrors(), 2);
  for (DataTask& task : tasks_)
    EXPECT_EQ(task.answer.backend.substr(0, 5), "cuda/");
}

// The last one's threads go on with the CPU.
TEST_F(CudaExecutorTest, TheBatcherCountsTheSlotsOfDevicesThatAreLeft) {
  Build(3, 2, 1);
  executor_->Start(*batcher_);
  devices_[0]->FailCall(DeviceCall::kLaunch, 0, Sticky());
  Enqueue(100).finished.WaitForNotification();
  EXPECT_EQ(batcher_->executors(), 4);
  devices_[1]->FailCall(DeviceCall::kLaunch, 0, Sticky());
  devices_[2]->FailCall(DeviceCall::kLaunch, 0, Sticky());
  Enqueue(100).finished.WaitForNotification();
  EXPECT_EQ(batcher_->executors(), 2);
  for (int k = 0; k < 20; ++k) Enqueue(100);
  CloseAndJoin();
  ExpectAllRight();
}

TEST_F(CudaExecutorTest, OnTheCallersThreadALostDeviceIsNotChosen) {
  Build(2, 1, 1);
  devices_[0]->FailCall(0, Sticky());
  devices_[1]->FailCall(1 << 30, Passing());
  for (int k = 0; k < 6; ++k) Enqueue(500);
  RunAll();
  ExpectAllRight();
  EXPECT_EQ(tasks_.back().answer.backend, "cuda/1");
}

TEST_F(CudaExecutorTest, ABatchForWhichMemoryIsShortIsComputedInParts) {
  Build(1, 1, 8);
  devices_[0]->LimitMemory(200'000);  // two of the tasks at once
  for (int k = 0; k < 7; ++k) Enqueue(5000);
  RunAll();
  ExpectAllRight();
  // Of seven four are too many, two are not.
  EXPECT_EQ(DeviceErrors(), 2);
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 4);
  for (DataTask& task : tasks_) EXPECT_EQ(task.answer.backend, "cuda/0");
  EXPECT_EQ(pool_->devices_left(), 1);
}

TEST_F(CudaExecutorTest, WhatDoesNotFitAloneIsComputedByTheCpuAlone) {
  Build(1, 1, 8);
  devices_[0]->LimitMemory(200'000);
  Enqueue(5000);
  DataTask& huge = Enqueue(50'000);
  Enqueue(5000);
  RunAll();
  ExpectAllRight();
  for (DataTask& task : tasks_) {
    EXPECT_EQ(task.answer.backend == "cuda/0", &task != &huge);
  }
  EXPECT_EQ(pool_->devices_left(), 1);
}

TEST_F(CudaExecutorTest, TheLimitOfPinnedMemoryIsNoErrorOfTheDevice) {
  max_pinned_bytes_ = 200'000;
  Build(1, 1, 8);
  for (const uint64_t elements : {5000, 5000, 50'000, 5000}) Enqueue(elements);
  RunAll();
  ExpectAllRight();
  EXPECT_EQ(DeviceErrors(), 0);
  EXPECT_EQ(tasks_[0].answer.backend, "cuda/0");
  EXPECT_NE(tasks_[2].answer.backend, "cuda/0");
  EXPECT_EQ(tasks_[3].answer.backend, "cuda/0");
}

TEST_F(CudaExecutorTest, AnotherDeviceDoesTheWorkOfOneThatIsLost) {
  Build(2, 1, 4);
  devices_[0]->FailCall(DeviceCall::kWait, 0, Sticky());
  for (int k = 0; k < 8; ++k) Enqueue(500);
  RunAll();
  ExpectAllRight();
  EXPECT_EQ(DeviceErrors(), 1);
  for (DataTask& task : tasks_) EXPECT_EQ(task.answer.backend, "cuda/1");
  EXPECT_EQ(none_left_, 0);
}

TEST_F(CudaExecutorTest, TellsOnceThatNoDeviceIsLeft) {
  Build(2, 1, 4);
  for (FakeDevice* device : devices_) {
    device->FailCall(DeviceCall::kLaunch, 0, Sticky());
  }
  for (int k = 0; k < 8; ++k) Enqueue(500);
  RunAll();
  ExpectAllRight();
  EXPECT_EQ(none_left_, 1);
  EXPECT_EQ(pool_->devices_left(), 0);
  for (DataTask& task : tasks_)
    EXPECT_NE(task.answer.backend.substr(0, 5), "cuda/");
}

TEST_F(CudaExecutorTest, GivesEverythingBackToTheDevice) {
  Build(1, 3, 2);
  executor_->Start(*batcher_);
  for (int k = 0; k < 50; ++k) Enqueue(1000);
  CloseAndJoin();
  executor_.reset();
  EXPECT_EQ(traces_.live, 0);
}

}  // namespace
}  // namespace lossd::execution::cuda
