#include "tests/server/execution/cuda/faulty_run.h"

#include <gtest/gtest.h>

#include <utility>

#include "server/batching/batcher.h"
#include "tests/server/observability/exposition.h"

namespace lossd::execution::cuda {
namespace {

constexpr int kDevices = 2;
constexpr int kSlots = 2;
constexpr uint64_t kPinnedRegions = 3 << 20;  // a limit that is met

std::string DeviceOf(const FaultyRunPolicy& policy, unsigned seed) {
  return policy.lent_to == nullptr ? "" : policy.lent_to(seed);
}

}  // namespace

AdmittedTask::AdmittedTask(const FaultyRunPolicy& policy, unsigned seed,
                           admission::AdmissionController& admission)
    : LentTask(policy.sizes[seed], seed) {
  admission::Refusal refusal;
  permit_ = *admission.Admit(static_cast<int64_t>(policy.sizes[seed]),
                             /*flow=*/seed, absl::InfiniteFuture(),
                             absl::UnixEpoch(), absl::ZeroDuration(), &refusal);
  if (seed % policy.counted_every == 1) {
    segment.options.normalizer = kernels::Normalizer::kValid;
    segment.options.ignore_target = 1.0;
  }
}

void AdmittedTask::OnComputed(const batching::Computed& computed) {
  permit_ = {};
  LentTask::OnComputed(computed);
}

void AdmittedTask::OnDropped(const absl::Status& why) {
  permit_ = {};
  LentTask::OnDropped(why);
}

std::vector<LentAnswer> ExpectedAnswers(const FaultyRunPolicy& policy) {
  admission::AdmissionController admission({});
  std::vector<LentAnswer> answers;
  for (unsigned seed = 0; seed < policy.sizes.size(); ++seed) {
    answers.push_back(AdmittedTask(policy, seed, admission).ByTheCpu());
  }
  return answers;
}

FaultyRun::FaultyRun(const FaultyRunPolicy& policy, DeviceCall call, int nth,
                     const absl::Status& why)
    : policy_(policy), loses_device_(IsSticky(why)) {
  std::unique_ptr<SlotPool> pool = MakePool(call, nth, why);
  pool_ = pool.get();
  pinning_ = std::make_unique<PoolPinning>(pool.get(), kPinnedRegions);
  lending_ = std::make_unique<PoolLending>(pool.get());
  executor_ = std::make_unique<CudaExecutor>(std::move(pool), cpu_, &metrics_,
                                             &clock_, [this] { ++none_left_; });
  table_ = std::make_unique<shared_memory::RegionTable>(
      shared_memory::RegionLimits(), lending_.get(), pinning_.get());
}

std::unique_ptr<SlotPool> FaultyRun::MakePool(DeviceCall call, int nth,
                                              const absl::Status& why) {
  std::vector<std::unique_ptr<Device>> devices;
  for (unsigned k = 0; k < kDevices; ++k) {
    auto device =
        std::make_unique<FakeDevice>(&traces_, "cuda/" + std::to_string(k));
    device->WorkByItself(static_cast<unsigned>(nth) * kDevices + k);
    if (k == 0) device->FailCall(call, nth, why);
    // A stream is drained only after another failure.
    if (k == 0 && call == DeviceCall::kDrain) {
      device->FailCall(DeviceCall::kWait, 0, absl::InternalError("first"));
    }
    devices.push_back(std::move(device));
  }
  auto pool = SlotPool::Create(
      std::move(devices), {.slots_per_device = kSlots,
                           .max_pinned_bytes = 1 << 18,  // a limit that is met
                           .need_every_device = false});
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

void FaultyRun::Ask() {
  const batching::BatcherOptions options = {
      .max_batch_requests = policy_.max_batch_requests,
      .executors = kDevices * kSlots,
      .min_portion_elements = 4096};
  batching::Batcher batcher(options, &clock_);
  for (unsigned seed = 0; seed < policy_.sizes.size(); ++seed) {
    AdmittedTask& task = tasks_.emplace_back(policy_, seed, admission_);
    // If a task cannot lend its memory, it sends its tensors.
    const std::string device = DeviceOf(policy_, seed);
    if (!device.empty()) task.Lend(*table_, device).IgnoreError();
    if (policy_.is_shared != nullptr && policy_.is_shared(seed)) {
      EXPECT_TRUE(task.Share(*table_).ok());
    }
    batcher.Enqueue(&task);
  }
  executor_->Start(batcher);
  tasks_[0].TakeBack(*table_);  // while it is queued, computed or answered
  batcher.Close();
  executor_->Join();
}

void FaultyRun::ExpectAnswers(const std::vector<LentAnswer>& expected) {
  for (unsigned k = 0; k < tasks_.size(); ++k) {
    AdmittedTask& task = tasks_[k];
    ASSERT_TRUE(task.finished.HasBeenNotified()) << k;
    if (task.was_computed) {
      EXPECT_EQ(task.Seen(), expected[k]) << "task " << k;
      continue;
    }
    ++dropped_;
    EXPECT_TRUE(task.lent() && DeviceOf(policy_, k) == "cuda/0")
        << task.dropped;
    EXPECT_TRUE(absl::IsUnavailable(task.dropped) ||
                absl::IsInternal(task.dropped))
        << task.dropped;
  }
}

void FaultyRun::End() {
  for (AdmittedTask& task : tasks_) task.TakeBack(*table_);
  EXPECT_EQ(table_->lent_bytes(), 0);
  EXPECT_EQ(table_->pinned_bytes(), 0);
  // A lost device may still write to pages that it has pinned.
  if (!loses_device_ && pool_->devices_left() == kDevices) {
    EXPECT_EQ(traces_.pinned.count(), 0U);
    EXPECT_EQ(pinning_->bytes(), 0U);
  }
  table_.reset();
  executor_.reset();
  EXPECT_EQ(admission_.inflight_requests(), 0);
  EXPECT_EQ(admission_.inflight_bytes(), 0);
  EXPECT_EQ(traces_.live, 0);
  EXPECT_EQ(traces_.misuses, 0);
  EXPECT_EQ(none_left_, 0);  // cuda/1 works
}

double FaultyRun::errors() {
  const auto samples = observability::Scrape(metrics_).samples;
  const auto found =
      samples.find("lossd_device_errors_total{device=\"cuda/0\"}");
  return found == samples.end() ? 0 : found->second;
}

}  // namespace lossd::execution::cuda
