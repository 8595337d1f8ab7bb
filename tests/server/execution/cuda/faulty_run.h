// An executor over two fake devices, of which the first fails one call, and the
// requests that it answers nevertheless.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAULTY_RUN_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAULTY_RUN_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/admission/admission.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "server/execution/cuda/pool_lending.h"
#include "server/execution/cuda/pool_pinning.h"
#include "server/observability/metrics.h"
#include "server/shared_memory/region_table.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/cuda/lent_task.h"
#include "tests/server/fake_clock.h"

namespace lossd::execution::cuda {

// The requests of a run. Request k has seed k.
struct FaultyRunPolicy {
  std::vector<uint64_t> sizes;  // in elements
  int64_t max_batch_requests = 1;
  // Every so many requests, one has a normalizer that must be counted first.
  unsigned counted_every = 1;
  // Returns the device that request `seed` lends its tensors to; "" if none.
  std::string (*lent_to)(unsigned seed) = nullptr;
  // Returns whether request `seed` has its tensors in shared memory.
  bool (*is_shared)(unsigned seed) = nullptr;
};

// A request with its permit, which ends with its answer. The process ends at a
// second answer.
class AdmittedTask final : public LentTask {
 public:
  AdmittedTask(const FaultyRunPolicy& policy, unsigned seed,
               admission::AdmissionController& admission);
  void OnComputed(const batching::Computed& computed) override;
  void OnDropped(const absl::Status& why) override;

 private:
  admission::Permit permit_;
};

// Returns the CPU's answers to the requests of a policy.
std::vector<LentAnswer> ExpectedAnswers(const FaultyRunPolicy& policy);

class FaultyRun {
 public:
  // Call `nth` of kind `call` fails with `why` on "cuda/0" (FakeDevice). The
  // policy is borrowed.
  FaultyRun(const FaultyRunPolicy& policy, DeviceCall call, int nth,
            const absl::Status& why);

  // Enqueues all requests and waits until the executor has answered them.
  void Ask();
  // Expects that each request has the right answer, or was dropped for a good
  // reason: its tensors were on the failing device.
  void ExpectAnswers(const std::vector<LentAnswer>& expected);
  // Destroys the executor and its devices. Expects that everything that was
  // taken has been given back.
  void End();

  // Calls that failed so far.
  int failures() const { return traces_.failures; }
  // Errors of "cuda/0" in the metrics.
  double errors();
  // Requests that ExpectAnswers() found dropped.
  int dropped() const { return dropped_; }
  // Copies from and to shared memory that devices were asked for.
  int direct_copies() const { return traces_.pinned.uses(); }

 private:
  std::unique_ptr<SlotPool> MakePool(DeviceCall call, int nth,
                                     const absl::Status& why);

  const FaultyRunPolicy& policy_;
  FakeClock clock_;
  observability::Metrics metrics_{"test", "cuda"};
  admission::AdmissionController admission_{{}};
  CpuExecutor cpu_{{}, &metrics_, &clock_};
  DeviceTraces traces_;
  SlotPool* pool_ = nullptr;  // the executor's
  const bool loses_device_;
  std::unique_ptr<PoolLending> lending_;
  std::unique_ptr<PoolPinning> pinning_;
  std::deque<AdmittedTask> tasks_;
  std::unique_ptr<CudaExecutor> executor_;
  std::unique_ptr<shared_memory::RegionTable> table_;
  std::atomic<int> none_left_ = 0;
  int dropped_ = 0;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAULTY_RUN_H_
