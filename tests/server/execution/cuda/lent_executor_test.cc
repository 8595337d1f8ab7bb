// Tests the executor with requests whose tensors lie on its devices.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "server/batching/batcher.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "server/execution/cuda/pool_lending.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/cuda/lent_task.h"
#include "tests/server/fake_clock.h"

namespace lossd::execution::cuda {
namespace {

using batching::Batcher;
using batching::BatcherOptions;

absl::Status Passing() { return absl::InternalError("asked for"); }
absl::Status Sticky() { return absl::UnavailableError("asked for"); }

constexpr const char* kNowhere = "";

class LentExecutorTest : public ::testing::Test {
 protected:
  LentExecutorTest() {
    std::vector<std::unique_ptr<Device>> owned;
    for (const char* name : {"cuda/0", "cuda/1"}) {
      auto device = std::make_unique<FakeDevice>(&traces_, name);
      devices_.push_back(device.get());
      owned.push_back(std::move(device));
    }
    auto pool = *SlotPool::Create(
        std::move(owned), {.slots_per_device = 1, .max_pinned_bytes = 1 << 20});
    lending_ = std::make_unique<PoolLending>(pool.get());
    executor_ = std::make_unique<CudaExecutor>(std::move(pool), cpu_, &metrics_,
                                               &clock_);
    table_ = std::make_unique<shared_memory::RegionTable>(
        shared_memory::RegionLimits(), lending_.get());
  }
  // Enqueues a task that lends its tensors to `device`, or to none if "".
  LentTask& Enqueue(uint64_t elements, const char* device,
                    bool counted = false) {
    const auto seed = static_cast<unsigned>(tasks_.size());
    LentTask& task = tasks_.emplace_back(elements, seed);
    if (counted) Count(task);
    if (device != kNowhere) {
      const absl::Status status = task.Lend(*table_, device);
      EXPECT_TRUE(status.ok()) << status;
    }
    batcher_.Enqueue(&task);
    return task;
  }
  static void Count(LentTask& task) {
    task.segment.options.normalizer = kernels::Normalizer::kValid;
    task.segment.options.ignore_target = 1.0;
  }
  void RunAll() {
    while (batcher_.queued_requests() > 0) executor_->Run(*batcher_.Take());
  }
  void ExpectRight(size_t k, bool counted = false) {
    ASSERT_TRUE(tasks_[k].finished.HasBeenNotified());
    ASSERT_TRUE(tasks_[k].was_computed) << tasks_[k].dropped;
    LentTask alone(tasks_[k].segment.element_count, static_cast<unsigned>(k));
    if (counted) Count(alone);
    EXPECT_EQ(tasks_[k].Seen(), alone.ByTheCpu()) << "task " << k;
  }
  static void ExpectDropped(LentTask& task, absl::StatusCode code,
                            const char* says) {
    ASSERT_TRUE(task.finished.HasBeenNotified());
    EXPECT_FALSE(task.was_computed);
    EXPECT_EQ(task.dropped.code(), code) << task.dropped;
    EXPECT_TRUE(absl::StrContains(task.dropped.message(), says))
        << task.dropped;
  }
  void TearDown() override {
    batcher_.Close();
    for (LentTask& task : tasks_) task.TakeBack(*table_);
    table_.reset();
    executor_.reset();
    EXPECT_EQ(traces_.live, 0);
    EXPECT_EQ(traces_.misuses, 0);
  }

  FakeClock clock_;
  observability::Metrics metrics_{"test", "cuda"};
  CpuExecutor cpu_{{}, &metrics_, &clock_};
  DeviceTraces traces_;
  std::vector<FakeDevice*> devices_;  // the executor's
  std::unique_ptr<PoolLending> lending_;
  std::deque<LentTask> tasks_;
  Batcher batcher_{BatcherOptions{.max_batch_requests = 16,
                                  .executors = 2,
                                  .min_portion_elements = 1 << 18},
                   &clock_};
  std::unique_ptr<CudaExecutor> executor_;
  std::unique_ptr<shared_memory::RegionTable> table_;
};

TEST_F(LentExecutorTest, ABatchIsDividedByTheDevicesThatHaveItsTensors) {
  const char* const places[] = {"cuda/0", kNowhere, "cuda/1",
                                "cuda/0", kNowhere, "cuda/1"};
  for (const char* place : places) Enqueue(5000, place);
  RunAll();
  for (size_t k = 0; k < std::size(places); ++k) {
    ExpectRight(k);
    if (places[k] == kNowhere) continue;
    EXPECT_EQ(tasks_[k].answer.backend, places[k]);
  }
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 1);
  EXPECT_EQ(devices_[1]->calls(DeviceCall::kLaunch), 1);
}

TEST_F(LentExecutorTest, NothingOfATensorIsCopied) {
  Enqueue(20'000, "cuda/1");
  RunAll();
  ExpectRight(0);
  const std::vector<DeviceWork> work = devices_[1]->work();
  ASSERT_EQ(work.size(), 3u);
  for (const DeviceWork& piece : work) EXPECT_LT(piece.bytes, 2000u);
}

TEST_F(LentExecutorTest, WhatTheScaleNeedsIsCountedOnTheDevice) {
  Enqueue(5000, "cuda/0", /*counted=*/true);
  Enqueue(3000, "cuda/0");
  Enqueue(3000, kNowhere, /*counted=*/true);
  RunAll();
  ExpectRight(0, true);
  ExpectRight(1);
  ExpectRight(2, true);
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 2);
}

TEST_F(LentExecutorTest, NobodyTakesOverFromALostDevice) {
  devices_[0]->FailCall(DeviceCall::kWait, 0, Sticky());
  Enqueue(500, "cuda/0");
  Enqueue(500, kNowhere);
  Enqueue(500, "cuda/1");
  RunAll();
  ExpectDropped(tasks_[0], absl::StatusCode::kUnavailable,
                "cuda/0, which has the tensors, is lost");
  ExpectRight(1);
  ExpectRight(2);
  LentTask late(100, 77);
  EXPECT_TRUE(absl::IsUnavailable(late.Lend(*table_, "cuda/0")));
}

TEST_F(LentExecutorTest, WhatIsLentToALostDeviceIsDroppedAtOnce) {
  devices_[0]->FailCall(DeviceCall::kLaunch, 0, Sticky());
  LentTask& waits = tasks_.emplace_back(100, 0);
  ASSERT_TRUE(waits.Lend(*table_, "cuda/0").ok());
  Enqueue(500, kNowhere);
  RunAll();
  batcher_.Enqueue(&waits);
  RunAll();
  ExpectDropped(waits, absl::StatusCode::kUnavailable, "is lost");
}

TEST_F(LentExecutorTest, WithoutAnyDeviceTheCpuComputesWhatItCan) {
  for (FakeDevice* device : devices_) {
    device->FailCall(DeviceCall::kWait, 0, Sticky());
  }
  Enqueue(500, "cuda/1");
  Enqueue(500, kNowhere);
  Enqueue(500, "cuda/0");
  RunAll();
  ExpectRight(1);
  ExpectDropped(tasks_[0], absl::StatusCode::kUnavailable, "cuda/1");
  ExpectDropped(tasks_[2], absl::StatusCode::kUnavailable, "cuda/0");
}

TEST_F(LentExecutorTest, APassingErrorIsTheRequestsOwn) {
  devices_[0]->FailCall(DeviceCall::kLaunch, 0, Passing());
  Enqueue(500, "cuda/0");
  Enqueue(500, kNowhere);
  RunAll();
  ExpectDropped(tasks_[0], absl::StatusCode::kInternal, "cuda/0: asked for");
  ExpectRight(1);
  Enqueue(500, "cuda/0");
  RunAll();
  ExpectRight(2);
}

TEST_F(LentExecutorTest, WhatDoesNotFitAloneIsUnavailable) {
  devices_[0]->LimitMemory(1000);
  Enqueue(3000, "cuda/0");
  Enqueue(3000, "cuda/0");
  RunAll();
  for (LentTask& task : tasks_) {
    ExpectDropped(task, absl::StatusCode::kUnavailable, "too little memory");
  }
}

TEST_F(LentExecutorTest, MemoryThatIsTakenBackMeanwhileIsKeptUntilTheEnd) {
  executor_->Start(batcher_);
  devices_[0]->Hold();
  LentTask& task = Enqueue(9000, "cuda/0", /*counted=*/true);
  devices_[0]->AwaitHeld(1);
  task.TakeBack(*table_);
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kCloseIpc), 0);
  EXPECT_GT(table_->lent_bytes(), 0);
  devices_[0]->Release();
  task.finished.WaitForNotification();
  batcher_.Close();
  executor_->Join();
  ExpectRight(0, true);
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kCloseIpc), 1);
  EXPECT_EQ(table_->lent_bytes(), 0);
}

TEST_F(LentExecutorTest, AStrangersHandleIsNoErrorOfTheDevice) {
  const auto says = [this](const DeviceUuid& uuid, const char* name) {
    IpcHandle handle{};
    std::memcpy(handle.data(), name, std::strlen(name));
    return lending_->Open(uuid, handle).status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(says(FakeUuid("cuda/0"), "/etc")));
  EXPECT_TRUE(absl::IsInvalidArgument(says(FakeUuid("cuda/0"), "")));
  EXPECT_TRUE(absl::IsNotFound(says(FakeUuid("cuda/7"), "")));
  devices_[0]->FailCall(DeviceCall::kOpenIpc, 0,
                        absl::ResourceExhaustedError("asked for"));
  EXPECT_TRUE(absl::IsResourceExhausted(says(FakeUuid("cuda/0"), "")));
  Enqueue(500, "cuda/0");
  RunAll();
  ExpectRight(0);
}

}  // namespace
}  // namespace lossd::execution::cuda
