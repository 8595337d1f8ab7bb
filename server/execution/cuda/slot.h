// A slot holds what one batch needs on a device while it is computed there.
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

// The memory of one device's batches. Each batch has a pinned and a device
// buffer. The device's holds its input and its output, the pinned one what is
// staged of both. Thread-safe.
struct BatchMemory {
  // Borrows `device`. Limits pinned memory alone.
  BatchMemory(Device& device, uint64_t max_pinned_bytes);

  MemoryPool<PinnedMemory> pinned;
  MemoryPool<DeviceMemory> device;
};

// A stream and an event. Used by one thread at a time (SlotPool sees to that).
class Slot {
 public:
  // Borrows `device` and `memory`, which is the memory of that device.
  static absl::StatusOr<std::unique_ptr<Slot>> Create(Device& device,
                                                      BatchMemory& memory);
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Stages the batch into pinned memory, computes it, waits for it, and calls
  // `take` with its staged output. After an error `take` is not called. Errors:
  // OUT_OF_RANGE if the batch is larger than the limit of pinned memory, others
  // as Device returns them. After an error the stream is idle again, unless the
  // error is sticky: then the slot must not be used again.
  absl::Status Compute(const kernels::cuda::BatchLayout& layout,
                       absl::FunctionRef<void(const std::byte* output)> take);

 private:
  // The buffers of a batch.
  struct Place {
    PinnedMemory input;  // the staged parts
    PinnedMemory output;
    DeviceMemory device_input;
    DeviceMemory device_output;
  };

  Slot(Device& device, BatchMemory& memory)
      : device_(device), memory_(memory) {}
  absl::Status Submit(const kernels::cuda::BatchLayout& layout,
                      const kernels::cuda::PackedBatch& batch,
                      const Place& place);
  // Waits until the batch is done. A batch that `is_soon_done` is polled for
  // first.
  absl::Status Await(bool is_soon_done);
  // Waits until a batch that failed with `status` no longer uses its buffers.
  // Returns `status`, or a sticky error if waiting fails.
  absl::Status Stop(const absl::Status& status);

  Device& device_;
  BatchMemory& memory_;
  Stream stream_;
  Event event_;
  bool may_be_busy_ = false;  // draining the stream failed
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_
