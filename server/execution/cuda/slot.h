// A slot: what one batch needs on a device while it is computed there.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_
#define LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/batch_layout.h"
#include "server/execution/cuda/device.h"
#include "server/execution/cuda/memory_pool.h"

namespace lossd::execution::cuda {

// The memory of one device's batches. Each has one pinned and one device
// buffer, and both are input and output at once.
struct BatchMemory {
  // `device` is borrowed. What the device itself has is not limited here.
  BatchMemory(Device& device, uint64_t max_pinned_bytes);

  MemoryPool<PinnedMemory> pinned;
  MemoryPool<DeviceMemory> device;
};

// A stream and an event. Used by one thread at a time (SlotPool).
class Slot {
 public:
  // Both are borrowed, and belong together.
  static absl::StatusOr<std::unique_ptr<Slot>> Create(Device& device,
                                                      BatchMemory& memory);
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Stages the batch into pinned memory, computes it, waits for it, and shows
  // its output to `take`: once, or not at all after an error. OUT_OF_RANGE if
  // the batch is more than pinned memory may be, others as Device says. After
  // an error the stream is idle again, unless the error is sticky: then nothing
  // of the slot may be used any more.
  absl::Status Compute(const kernels::cuda::BatchLayout& layout,
                       absl::FunctionRef<void(const std::byte* output)> take);

 private:
  // Where a batch lies.
  struct Place {
    PinnedMemory pinned;
    DeviceMemory device;
    size_t output = 0;  // where in both of them the output begins
  };

  Slot(Device& device, BatchMemory& memory)
      : device_(device), memory_(memory) {}
  absl::Status Submit(const kernels::cuda::BatchLayout& layout,
                      const kernels::cuda::PackedBatch& batch,
                      const Place& place);
  // After `status` stopped a batch that may be under way.
  absl::Status Stop(const absl::Status& status);

  Device& device_;
  BatchMemory& memory_;
  Stream stream_;
  Event event_;
  bool may_be_busy_ = false;  // the stream could not be drained
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_
