// A slot: what one batch needs on a device while it is computed there.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_
#define LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/batch_layout.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

// A stream, an event, and buffers that only grow: allocating pinned memory
// costs milliseconds, so a slot that has seen its largest batch allocates no
// more. Used by one thread at a time (SlotPool). Not to be destroyed while the
// stream has work.
class Slot {
 public:
  // `device` is borrowed.
  static absl::StatusOr<std::unique_ptr<Slot>> Create(Device& device);
  ~Slot();
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Makes room for a batch. After an error the slot has less room, possibly
  // none, and may be asked again.
  absl::Status Reserve(size_t input_bytes, size_t output_bytes);

  // Stages the batch into pinned memory, computes it, and waits for it; the
  // output is then in output(). Reserve()s by itself. After an error the stream
  // is idle again, unless the error is sticky: then nothing of the slot may be
  // used any more.
  absl::Status Compute(const kernels::cuda::BatchLayout& layout);

  const std::byte* output() const { return pinned_output_.data; }
  size_t input_capacity() const { return pinned_input_.size; }
  size_t output_capacity() const { return pinned_output_.size; }

 private:
  explicit Slot(Device& device) : device_(device) {}
  absl::Status Grow(size_t bytes, PinnedMemory& pinned, DeviceMemory& memory);
  absl::Status Submit(const kernels::cuda::BatchLayout& layout);

  Device& device_;
  Stream stream_;
  Event event_;
  PinnedMemory pinned_input_;
  PinnedMemory pinned_output_;
  DeviceMemory device_input_;
  DeviceMemory device_output_;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_SLOT_H_
