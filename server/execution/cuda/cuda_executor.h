// The GPUs: threads that each see a batch through a slot of some device.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_
#define LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/execution/cuda/slot_pool.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd::execution::cuda {

// A batch is staged into pinned memory straight from the requests' slices,
// copied over, computed by one launch for each path among its portions
// (kernels/cuda/kernel_variant.h), and copied back.
// There is a thread for each slot. It stages, sleeps until the device is done,
// and answers; so while one batch computes, the next is copied in and the last
// one out: also those of one huge request, which the batcher divides. The least
// used device is taken first.
//
// A request whose tensors lie on a device is computed by that one, the others
// of its batch by any: a batch may so become one for each device. What such a
// request needs counted before its gradient, and only the device can read, is
// counted by a launch of its own. Nobody takes over from its device: where that
// fails, or has too little memory even for it alone, it is dropped, as INTERNAL
// or UNAVAILABLE.
//
// What goes wrong on a device costs no other request, and is counted in
// lossd_device_errors_total (but for memory that a MemoryPool found after all):
//   - where memory is short, the batch is computed in halves, and a request
//     that does not fit alone by `fallback`;
//   - a device that is lost (IsSticky) is retired. Its work is done by another
//     device, or by `fallback` once none is left;
//   - after any other error `fallback` computes what failed.
//
// Thread-safe like every Executor. Run() waits for a free slot.
class CudaExecutor final : public Executor {
 public:
  // `fallback`, `metrics` and `clock` are borrowed; the fallback need not be
  // started. `on_none_left` is called once, when the last device was retired,
  // by the thread that found out; null: nobody wants to know.
  CudaExecutor(std::unique_ptr<SlotPool> slots, Executor& fallback,
               observability::Metrics* metrics, const Clock* clock,
               std::function<void()> on_none_left = nullptr);
  ~CudaExecutor() override;  // joined by then, if it was started

  // The first device's name.
  std::string_view backend() const override {
    return slots_->device_names().front();
  }

  void Start(batching::Batcher& batcher) override;
  void Join() override;
  void Run(batching::Batch batch) override;

 private:
  void TakeBatches(batching::Batcher& batcher);
  bool MayLeave();
  // Drops what lies on a device that was retired.
  void DropOfRetired(batching::Batch& batch);
  // Answers what the slot's device computes of the batch, and leaves the rest
  // in it: what lies on another, and if the device is lost, everything. What is
  // for the fallback alone is moved to `refused`.
  void RunOn(const SlotLease& slot, batching::Batch& batch,
             std::vector<batching::Portion>& refused);
  // Counts what is not counted yet.
  static absl::Status Count(const SlotLease& slot,
                            std::span<const batching::Portion> portions);
  // All or nothing.
  absl::Status Compute(const SlotLease& slot,
                       std::span<const batching::Portion> portions);
  void NoteFailure(const SlotLease& slot, const absl::Status& status);
  void Shrink();

  const std::unique_ptr<SlotPool> slots_;
  Executor& fallback_;
  observability::Metrics* const metrics_;
  const Clock* const clock_;
  const std::function<void()> on_none_left_;
  // Both touched by Start() and Join() alone.
  std::vector<std::thread> threads_;
  batching::Batcher* batcher_ = nullptr;
  // Threads without a slot since a device was lost.
  std::atomic<int> surplus_threads_{0};
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_
