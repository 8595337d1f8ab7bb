// Every call that a device can fail at fails in turn, while workers lend it and
// another device their tensors, in an order of its own: each request is
// answered once, with the right bits or, where it depends on the failing
// device, with why not; and everything that was taken is given back.
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "server/admission/admission.h"
#include "server/batching/batcher.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "server/execution/cuda/pooled_devices.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/cuda/lent_task.h"
#include "tests/server/fake_clock.h"

namespace lossd::execution::cuda {
namespace {

using admission::AdmissionController;
using batching::Batcher;

constexpr int kDevices = 2;
constexpr uint64_t kSizes[] = {3000, 50,   7000, 2048, 1,
                               4097, 9000, 10,   640,  2049};

// The device that a request lends its tensors to; "": none.
std::string PlaceOf(unsigned seed) {
  return seed % 3 == 2 ? "" : "cuda/" + std::to_string(seed % 3);
}

// A request with its permit, which ends with its answer.
class AdmittedTask final : public LentTask {
 public:
  AdmittedTask(uint64_t elements, unsigned seed, AdmissionController& admission)
      : LentTask(elements, seed) {
    admission::Refusal refusal;
    permit_ = *admission.Admit(static_cast<int64_t>(elements), /*flow=*/seed,
                               absl::InfiniteFuture(), absl::UnixEpoch(),
                               absl::ZeroDuration(), &refusal);
    if (seed % 2 == 1) {  // normalised by what takes part
      segment.options.normalizer = kernels::Normalizer::kValid;
      segment.options.ignore_target = 1.0;
    }
  }
  void OnComputed(const batching::Computed& computed) override {
    permit_ = {};
    LentTask::OnComputed(computed);
  }
  void OnDropped(const absl::Status& why) override {
    permit_ = {};
    LentTask::OnDropped(why);
  }

 private:
  admission::Permit permit_;
};

// One life of an executor, its devices and what was lent to them.
class Life {
 public:
  // `kind` as in FakeDevice: kCount is any. Device 0 fails.
  Life(DeviceCall kind, int nth, const absl::Status& why) {
    std::vector<std::unique_ptr<Device>> devices;
    for (unsigned k = 0; k < kDevices; ++k) {
      auto device =
          std::make_unique<FakeDevice>(&traces_, "cuda/" + std::to_string(k));
      device->WorkByItself(static_cast<unsigned>(nth) * kDevices + k);
      if (k == 0) device->FailCall(kind, nth, why);
      devices.push_back(std::move(device));
    }
    auto pool =
        SlotPool::Create(std::move(devices), {.slots_per_device = 2,
                                              .max_pinned_bytes = 1 << 18,
                                              .need_every_device = false});
    EXPECT_TRUE(pool.ok()) << pool.status();
    pooled_ = std::make_unique<PooledDevices>(pool->get());
    executor_ = std::make_unique<CudaExecutor>(*std::move(pool), cpu_,
                                               &metrics_, &clock_);
    table_ = std::make_unique<shared_memory::RegionTable>(
        shared_memory::RegionLimits(), pooled_.get());
  }

  void Ask() {
    const batching::BatcherOptions options = {.max_batch_requests = 4,
                                              .executors = 2 * kDevices,
                                              .min_portion_elements = 4096};
    Batcher batcher(options, &clock_);
    for (const uint64_t size : kSizes) {
      const auto seed = static_cast<unsigned>(tasks_.size());
      AdmittedTask& task = tasks_.emplace_back(size, seed, admission_);
      // A worker that may not lend its memory sends its tensors.
      if (!PlaceOf(seed).empty()) {
        task.Lend(*table_, PlaceOf(seed)).IgnoreError();
      }
      batcher.Enqueue(&task);
    }
    executor_->Start(batcher);
    tasks_[0].TakeBack(*table_);  // while it is queued, out or answered
    batcher.Close();
    executor_->Join();
  }

  void ExpectAnswers() {
    for (unsigned k = 0; k < tasks_.size(); ++k) {
      AdmittedTask& task = tasks_[k];
      ASSERT_TRUE(task.finished.HasBeenNotified()) << k;
      if (task.was_computed) {
        AdmittedTask alone(kSizes[k], k, alone_);
        EXPECT_EQ(task.Seen(), alone.ByTheCpu()) << "task " << k;
      } else {
        EXPECT_TRUE(task.lent() && PlaceOf(k) == "cuda/0") << task.dropped;
        EXPECT_TRUE(absl::IsUnavailable(task.dropped) ||
                    absl::IsInternal(task.dropped))
            << task.dropped;
      }
      dropped_ += task.was_computed ? 0 : 1;
    }
  }

  void End() {
    for (AdmittedTask& task : tasks_) task.TakeBack(*table_);
    EXPECT_EQ(table_->lent_bytes(), 0);
    table_.reset();
    executor_.reset();
    EXPECT_EQ(admission_.inflight_requests(), 0);
    EXPECT_EQ(admission_.inflight_bytes(), 0);
    EXPECT_EQ(traces_.live, 0);
    EXPECT_EQ(traces_.misuses, 0);
  }

  int failures() const { return traces_.failures; }
  int dropped() const { return dropped_; }

 private:
  FakeClock clock_;
  observability::Metrics metrics_{"test", "cuda"};
  AdmissionController admission_{{}};
  AdmissionController alone_{{}};
  CpuExecutor cpu_{{}, &metrics_, &clock_};
  DeviceTraces traces_;
  std::unique_ptr<PooledDevices> pooled_;
  std::deque<AdmittedTask> tasks_;
  std::unique_ptr<CudaExecutor> executor_;
  std::unique_ptr<shared_memory::RegionTable> table_;
  int dropped_ = 0;
};

class EveryCallWithLentTensors : public ::testing::TestWithParam<DeviceCall> {};

// `nth` beyond the calls of a life: nothing fails, and the search is over.
TEST_P(EveryCallWithLentTensors, MayFailAndHarmsNobodyElse) {
  constexpr int kManyCalls = 300;
  int dropped = 0;
  for (const absl::Status& why : {absl::InternalError("asked for"),
                                  absl::ResourceExhaustedError("asked for"),
                                  absl::UnavailableError("asked for")}) {
    int nth = 0;
    for (bool failed = true; failed; ++nth) {
      ASSERT_LT(nth, kManyCalls);
      SCOPED_TRACE(testing::Message() << why << ", call " << nth);
      Life life(GetParam(), nth, why);
      life.Ask();
      life.ExpectAnswers();
      life.End();
      failed = life.failures() > 0;
      dropped += life.dropped();
      EXPECT_TRUE(failed || life.dropped() == 0);
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_GT(nth, 1);  // there are such calls
  }
  EXPECT_TRUE(GetParam() != DeviceCall::kLaunch || dropped > 0);
}

std::string NameOf(const testing::TestParamInfo<DeviceCall>& info) {
  switch (info.param) {
    case DeviceCall::kOpenIpc:
      return "OpenIpc";
    case DeviceCall::kCloseIpc:
      return "CloseIpc";
    case DeviceCall::kLaunch:
      return "Launch";
    default:
      return "OfAnyKind";
  }
}

INSTANTIATE_TEST_SUITE_P(Call, EveryCallWithLentTensors,
                         testing::Values(DeviceCall::kOpenIpc,
                                         DeviceCall::kCloseIpc,
                                         DeviceCall::kLaunch,
                                         DeviceCall::kCount),
                         &NameOf);

}  // namespace
}  // namespace lossd::execution::cuda
