// Every call that a device can fail at fails in turn, while two devices work in
// an order of their own: whatever happens, each request is answered once, with
// the right bits, and everything that was taken is given back.
#include <atomic>
#include <bit>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_kernel.h"
#include "server/admission/admission.h"
#include "server/batching/batcher.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/data_task.h"
#include "tests/server/fake_clock.h"
#include "tests/server/observability/exposition.h"

namespace lossd::execution::cuda {
namespace {

using admission::AdmissionController;
using batching::Batcher;

constexpr int kDevices = 2;
constexpr int kSlots = 2;

// A request with its permit, which ends with its answer.
class AdmittedTask final : public DataTask {
 public:
  AdmittedTask(uint64_t elements, unsigned seed, AdmissionController& admission)
      : DataTask(elements, seed) {
    admission::Refusal refusal;
    permit_ = *admission.Admit(static_cast<int64_t>(elements), /*flow=*/seed,
                               absl::InfiniteFuture(), absl::UnixEpoch(),
                               absl::ZeroDuration(), &refusal);
    if (seed % 3 == 1) {  // normalised by what takes part
      segment.options.normalizer = kernels::Normalizer::kValid;
      segment.options.ignore_target = 1.0;
    }
  }
  // RecordingTask ends the process at a second answer.
  void OnComputed(const batching::Computed& computed) override {
    permit_ = {};
    DataTask::OnComputed(computed);
  }

 private:
  admission::Permit permit_;
};

// What the CPU answers, computed once: the failures do not change the requests.
struct Answer {
  uint64_t loss = 0;
  std::vector<uint32_t> gradient;
  bool operator==(const Answer&) const = default;
};

Answer AnswerOf(AdmittedTask& task) {
  return {std::bit_cast<uint64_t>(task.answer.totals.loss_sum),
          task.gradient_bits()};
}

// One life of an executor and its devices.
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
      // A stream is drained after another failure alone.
      if (k == 0 && kind == DeviceCall::kDrain) {
        device->FailCall(DeviceCall::kWait, 0, absl::InternalError("first"));
      }
      devices.push_back(std::move(device));
    }
    auto pool = SlotPool::Create(
        std::move(devices), {.slots_per_device = kSlots,
                             .max_pinned_bytes = 1 << 18,  // so that it counts
                             .need_every_device = false});
    EXPECT_TRUE(pool.ok()) << pool.status();
    executor_ = std::make_unique<CudaExecutor>(
        *std::move(pool), cpu_, &metrics_, &clock_, [this] { ++none_left_; });
  }

  // Answers to requests of these sizes.
  std::vector<Answer> Ask(const std::vector<uint64_t>& sizes) {
    const batching::BatcherOptions options = {.max_batch_requests = 3,
                                              .executors = kDevices * kSlots,
                                              .min_portion_elements = 4096};
    Batcher batcher(options, &clock_);
    for (const uint64_t size : sizes) {
      const auto seed = static_cast<unsigned>(tasks_.size());
      batcher.Enqueue(&tasks_.emplace_back(size, seed, admission_));
    }
    executor_->Start(batcher);
    batcher.Close();
    executor_->Join();
    std::vector<Answer> answers;
    for (AdmittedTask& task : tasks_) {
      EXPECT_TRUE(task.finished.HasBeenNotified() && task.was_computed);
      answers.push_back(AnswerOf(task));
    }
    return answers;
  }

  // Ends the executor, and its devices with it.
  void End() {
    executor_.reset();
    EXPECT_EQ(admission_.inflight_requests(), 0);
    EXPECT_EQ(admission_.inflight_bytes(), 0);
    EXPECT_EQ(traces_.live, 0);
    EXPECT_EQ(traces_.misuses, 0);
    EXPECT_EQ(none_left_, 0);  // cuda/1 works
  }

  int failures() const { return traces_.failures; }
  double errors() {
    const auto scraped = observability::Scrape(metrics_).samples;
    const auto found =
        scraped.find("lossd_device_errors_total{device=\"cuda/0\"}");
    return found == scraped.end() ? 0 : found->second;
  }

 private:
  FakeClock clock_;
  observability::Metrics metrics_{"test", "cuda"};
  AdmissionController admission_{{}};
  CpuExecutor cpu_{{}, &metrics_, &clock_};
  DeviceTraces traces_;
  std::deque<AdmittedTask> tasks_;
  std::unique_ptr<CudaExecutor> executor_;
  std::atomic<int> none_left_ = 0;
};

const std::vector<uint64_t>& Sizes() {
  static const auto& sizes = *new std::vector<uint64_t>{
      3000, 50, 7000, 2048, 1, 4097, 15000, 10, 640, 2049, 9000, 30000};
  return sizes;
}

// By the CPU, without batcher or executor.
const std::vector<Answer>& Expected() {
  static const auto& expected = *[] {
    auto* answers = new std::vector<Answer>;
    AdmissionController admission({});
    const auto& kernel = kernels::cpu::BestInstructionSet();
    for (const uint64_t size : Sizes()) {
      AdmittedTask task(size, static_cast<unsigned>(answers->size()),
                        admission);
      const kernels::Segment& segment = task.segment;
      std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment));
      kernel.count_blocks(segment, 0, partials);
      const double scale = kernels::GradientScale(
          segment, kernels::NormalizerOf(segment, kernels::Combine(partials)));
      kernel.compute_blocks(segment, scale, 0, partials);
      task.answer.totals = kernels::Combine(partials);
      answers->push_back(AnswerOf(task));
    }
    return answers;
  }();
  return expected;
}

struct Failure {
  const char* name;
  absl::Status status;
};

std::vector<Failure> Failures() {
  return {{"a passing error", absl::InternalError("asked for")},
          {"no memory", absl::ResourceExhaustedError("asked for")},
          {"a lost device", absl::UnavailableError("asked for")}};
}

// `nth` beyond the calls of a life: nothing fails, and the search is over.
class EveryCall : public ::testing::TestWithParam<DeviceCall> {};

TEST_P(EveryCall, MayFailAndNothingIsLost) {
  constexpr int kManyCalls = 200;
  for (const Failure& failure : Failures()) {
    const int all = GetParam() == DeviceCall::kDrain ? 2 : 1;
    int nth = 0;
    for (bool failed = true; failed; ++nth) {
      ASSERT_LT(nth, kManyCalls);
      SCOPED_TRACE(testing::Message() << failure.name << ", call " << nth);
      Life life(GetParam(), nth, failure.status);
      const int before = life.failures();
      EXPECT_EQ(life.Ask(Sizes()), Expected());
      const bool failed_meanwhile = life.failures() > before;
      // Memory that was found after all, by freeing what was kept, is no error.
      if (!absl::IsResourceExhausted(failure.status) || !failed_meanwhile) {
        EXPECT_EQ(life.errors() > 0, failed_meanwhile);
      }
      life.End();
      failed = life.failures() == all;
      if (testing::Test::HasFailure()) return;
    }
  }
}

std::string NameOf(const testing::TestParamInfo<DeviceCall>& info) {
  static constexpr const char* kNames[] = {
      "AllocatePinned", "FreePinned",   "AllocateDevice", "FreeDevice",
      "OpenIpc",        "CloseIpc",     "CreateStream",   "DestroyStream",
      "CreateEvent",    "DestroyEvent", "CopyToDevice",   "CopyToHost",
      "Launch",         "Record",       "Wait",           "Drain",
      "OfAnyKind"};
  return kNames[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(
    Call, EveryCall,
    testing::Values(DeviceCall::kAllocatePinned, DeviceCall::kFreePinned,
                    DeviceCall::kAllocateDevice, DeviceCall::kFreeDevice,
                    DeviceCall::kCreateStream, DeviceCall::kDestroyStream,
                    DeviceCall::kCreateEvent, DeviceCall::kDestroyEvent,
                    DeviceCall::kCopyToDevice, DeviceCall::kCopyToHost,
                    DeviceCall::kLaunch, DeviceCall::kRecord, DeviceCall::kWait,
                    DeviceCall::kDrain, DeviceCall::kCount),
    &NameOf);

}  // namespace
}  // namespace lossd::execution::cuda
