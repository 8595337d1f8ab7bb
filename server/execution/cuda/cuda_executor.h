// The executor for GPUs. Each of its threads sees a batch through a slot.
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
#include "server/execution/cuda/routing.h"
#include "server/execution/cuda/slot_pool.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd::execution::cuda {

// A batch is staged into pinned memory straight from the requests' slices,
// copied over, computed by one launch for each variant among its portions
// (kernels/cuda/kernel_variant.h), and copied back. There is a thread for each
// slot (D33). It stages, sleeps until the device is done, and answers. So while
// one batch computes, the next is copied in and the last one out, even if all
// of them are parts of one huge request. The least used device is taken first.
//
// Routing (routing.h) sends a request whose tensors lie on a device to that
// device, and the others of its batch to any: a batch may become one for each
// device. If such a request must be counted before its gradient is computed,
// and only the device can read what is counted, a launch of its own counts it.
// No other device takes over such a request: if its device fails, or has too
// little memory even for it alone, it is dropped as INTERNAL or UNAVAILABLE.
//
// A device's errors cost no other request (D36). They are counted in
// lossd_device_errors_total, except a lack of memory that freeing kept buffers
// ended (MemoryPool):
//   - If memory is short, the batch is computed in halves, and a request that
//     does not fit alone by `fallback`.
//   - A device that is lost (IsSticky) is retired. Its work goes to another
//     device, or to `fallback` once none is left.
//   - After any other error `fallback` computes the portions that failed.
//
// Thread-safe. Run() waits for a free slot.
class CudaExecutor final : public Executor {
 public:
  // Borrows `fallback`, which need not be started, `metrics` and `clock`.
  // `on_none_left`, unless null, is called once, when the last device was
  // retired, by the thread that found out.
  CudaExecutor(std::unique_ptr<SlotPool> slots, Executor& fallback,
               observability::Metrics* metrics, const Clock* clock,
               std::function<void()> on_none_left = nullptr);
  // If it was started, Join() must have returned.
  ~CudaExecutor() override;

  // Returns the first device's name.
  std::string_view backend() const override {
    return slots_->device_names().front();
  }

  void Start(batching::Batcher& batcher) override;
  void Join() override;
  void Run(batching::Batch batch) override;

 private:
  using Portions = std::vector<batching::Portion>;
  // Portions of a batch that a device did not compute.
  struct Leftover {
    Portions to_route;  // they are on another device, or theirs is lost
    Portions fallback;
  };

  void TakeBatches(batching::Batcher& batcher);
  // Returns whether the calling thread is surplus and should end.
  bool MayLeave();
  std::vector<DeviceView> DeviceViews() const;
  // Drops a portion whose tensors are on a retired device.
  void DropLost(const batching::Portion& portion);
  // Waits for a slot and computes its share of the routing there.
  Leftover ComputeShare(const Portions& portions, const Routing& routing);
  // Computes and answers the portions, in halves if memory is short. Returns
  // those that the device failed to compute, all of them routed again if the
  // device is lost.
  Leftover ComputeOn(const SlotLease& slot,
                     std::span<const batching::Portion> portions);
  // Counts those portions that are not counted yet.
  static absl::Status Count(const SlotLease& slot,
                            std::span<const batching::Portion> portions);
  // Computes and answers all portions, or none after an error. An error leaves
  // nothing behind but counts: other results are written again.
  absl::Status Compute(const SlotLease& slot,
                       std::span<const batching::Portion> portions);
  void NoteFailure(const SlotLease& slot, const absl::Status& status);
  // Gives up the threads of a retired device's slots.
  void Shrink();

  const std::unique_ptr<SlotPool> slots_;
  Executor& fallback_;
  observability::Metrics* const metrics_;
  const Clock* const clock_;
  const std::function<void()> on_none_left_;
  // Start() and Join() alone use these two.
  std::vector<std::thread> threads_;
  batching::Batcher* batcher_ = nullptr;
  // Threads that have no slot since a device was lost.
  std::atomic<int> surplus_threads_{0};
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_H_
