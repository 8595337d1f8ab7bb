// Tests the executor while its devices fail. Every task must be answered once,
// with the bits of the CPU.
#include <algorithm>
#include <vector>

#include "tests/server/execution/cuda/cuda_executor_test.h"

namespace lossd::execution::cuda {
namespace {

absl::Status Passing() { return absl::InternalError("asked for"); }
absl::Status Sticky() { return absl::UnavailableError("asked for"); }

// Makes the calls of a device fail one after the other. They are counted, not
// listed, so that new calls are tried too.
class CudaExecutorEveryCall : public CudaExecutorTest {
 protected:
  // Runs three batches on a device whose call number `nth` fails. Returns false
  // if there are fewer calls.
  bool Run(int nth, const absl::Status& failure) {
    SCOPED_TRACE(nth);
    tasks_.clear();
    Build(1, 1, 2);
    const double errors = DeviceErrors();
    devices_[0]->FailCall(nth, failure);
    for (uint64_t elements : {3000, 50, 70000, 2048, 1, 4097}) {
      Enqueue(elements);
    }
    traces_.failures = 0;
    RunAll();
    ExpectAllRight();
    const bool failed = traces_.failures > 0;
    EXPECT_EQ(DeviceErrors(), errors + (failed ? 1 : 0));
    EXPECT_EQ(traces_.misuses, 0);
    on_cpu_.clear();
    for (const DataTask& task : tasks_) {
      on_cpu_.push_back(task.answer.backend != "cuda/0");
    }
    batcher_->Close();
    executor_.reset();
    return failed;
  }

  // The backend of each task in the last run, in the order of the queue.
  std::vector<bool> on_cpu_;
};

TEST_F(CudaExecutorEveryCall, CostsNoTask) {
  int nth = 0;
  while (Run(nth, Passing())) {
    SCOPED_TRACE(nth);
    // One batch of two went to the CPU, the others stayed.
    EXPECT_EQ(std::count(on_cpu_.begin(), on_cpu_.end(), true), 2);
    ASSERT_LT(++nth, 1000) << "the calls do not end";
  }
  EXPECT_GT(nth, 0);
  EXPECT_EQ(on_cpu_, std::vector<bool>(tasks_.size(), false));
}

TEST_F(CudaExecutorEveryCall, RetiresALostDeviceAfterOneError) {
  int nth = 0;
  while (Run(nth, Sticky())) {
    SCOPED_TRACE(nth);
    // The CPU computed all batches from the first one that failed on.
    EXPECT_TRUE(on_cpu_.back());
    EXPECT_TRUE(std::is_sorted(on_cpu_.begin(), on_cpu_.end()));
    ASSERT_LT(++nth, 1000) << "the calls do not end";
  }
  EXPECT_GT(nth, 0);
  EXPECT_EQ(on_cpu_, std::vector<bool>(tasks_.size(), false));
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

// The last device's threads go on with the CPU.
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
  devices_[0]->LimitMemory(200'000);  // enough for two of the tasks at once
  for (int k = 0; k < 7; ++k) Enqueue(5000);
  RunAll();
  ExpectAllRight();
  // There are seven tasks. Four at once are too many, two are not.
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
