// The GPUs: threads that each drive one slot of a device.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_
#define LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/execution/cuda/device.h"
#include "server/execution/cuda/slot_pool.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd::execution::cuda {

struct CudaExecutorOptions {
  // Batches that may be on a device at once: while one computes, the next is
  // copied in and the last one out.
  int slots_per_device = 3;
};

// Takes whole tasks (BatcherOptions::split_tasks is false): a batch is staged
// into pinned memory straight from the requests' slices, copied over, computed
// by one launch over all its segments, and copied back. A thread per slot waits
// for it; threads and slots overlap.
//
// What goes wrong on a device costs no request: the batch is computed by
// `fallback` instead, and counted in lossd_device_errors_total. A device that
// is lost (IsSticky) is retired: its threads hand their batches to `fallback`
// from then on.
//
// Thread-safe like every Executor. Run() waits for a free slot.
class CudaExecutor final : public Executor {
 public:
  // `devices` is not empty. `fallback`, `metrics` and `clock` are borrowed; the
  // fallback need not be started. Fails where a device has no room for its
  // slots.
  static absl::StatusOr<std::unique_ptr<CudaExecutor>> Create(
      const CudaExecutorOptions& options,
      std::vector<std::unique_ptr<Device>> devices, Executor& fallback,
      observability::Metrics* metrics, const Clock* clock);
  ~CudaExecutor() override;  // joined by then, if it was started

  // The first device's name.
  std::string_view backend() const override {
    return units_.front()->device->name();
  }
  // Batches that can be out at once: the slots of all devices.
  int concurrency() const;

  void Start(batching::Batcher& batcher) override;
  void Join() override;
  void Run(batching::Batch batch) override;

 private:
  // A device and what belongs to it, in the order in which it comes and goes.
  struct Unit {
    std::unique_ptr<Device> device;
    std::unique_ptr<SlotPool> slots;
    std::atomic<bool> retired{false};
  };

  CudaExecutor(const CudaExecutorOptions& options, Executor& fallback,
               observability::Metrics* metrics, const Clock* clock);
  void RunOn(Unit& unit, batching::Batch batch);
  absl::Status Compute(Unit& unit, const batching::Batch& batch);
  void NoteFailure(Unit& unit, const absl::Status& status);

  const CudaExecutorOptions options_;
  Executor& fallback_;
  observability::Metrics* const metrics_;
  const Clock* const clock_;
  std::vector<std::unique_ptr<Unit>> units_;  // constant once created
  std::vector<std::thread> threads_;  // touched by Start() and Join() alone
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_
