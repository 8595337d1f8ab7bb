#include "server/execution/cuda/slot.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lossd::execution::cuda {
namespace {

constexpr size_t kSmallestBuffer = size_t{1} << 16;

// Powers of two: a slot grows a few times in its life, not at every record.
size_t GrownSize(size_t bytes) {
  return std::bit_ceil(std::max(bytes, kSmallestBuffer));
}

template <typename Memory>
absl::Status Keep(absl::StatusOr<Memory> allocated, Memory& memory) {
  if (!allocated.ok()) return std::move(allocated).status();
  memory = *allocated;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Slot>> Slot::Create(Device& device) {
  auto slot = std::unique_ptr<Slot>(new Slot(device));
  if (absl::Status status = Keep(device.CreateStream(), slot->stream_);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = Keep(device.CreateEvent(), slot->event_);
      !status.ok()) {
    return status;
  }
  return slot;
}

// A device that is lost cannot take its things back, and nobody could do
// anything about it here: the statuses are dropped.
Slot::~Slot() {
  device_.FreeDevice(device_output_).IgnoreError();
  device_.FreeDevice(device_input_).IgnoreError();
  device_.FreePinned(pinned_output_).IgnoreError();
  device_.FreePinned(pinned_input_).IgnoreError();
  device_.DestroyEvent(event_).IgnoreError();
  device_.DestroyStream(stream_).IgnoreError();
}

absl::Status Slot::Reserve(size_t input_bytes, size_t output_bytes) {
  absl::Status status = Grow(input_bytes, pinned_input_, device_input_);
  if (status.ok()) status = Grow(output_bytes, pinned_output_, device_output_);
  return status;
}

// The old buffers go before the new ones come, so that growing never needs
// both.
absl::Status Slot::Grow(size_t bytes, PinnedMemory& pinned,
                        DeviceMemory& memory) {
  if (bytes <= std::min(pinned.size, memory.size)) return absl::OkStatus();
  absl::Status status = device_.FreePinned(std::exchange(pinned, {}));
  status.Update(device_.FreeDevice(std::exchange(memory, {})));
  if (!status.ok()) return status;
  status = Keep(device_.AllocatePinned(GrownSize(bytes)), pinned);
  if (!status.ok()) return status;
  return Keep(device_.AllocateDevice(GrownSize(bytes)), memory);
}

absl::Status Slot::Submit(const kernels::cuda::BatchLayout& layout) {
  absl::Status status = device_.CopyToDevice(device_input_, pinned_input_,
                                             layout.input_bytes(), stream_);
  if (status.ok()) {
    status = device_.Launch(
        layout.At(device_input_.address, device_output_.address), stream_);
  }
  if (status.ok()) {
    status = device_.CopyToHost(pinned_output_, device_output_,
                                layout.output_bytes(), stream_);
  }
  if (status.ok()) status = device_.Record(event_, stream_);
  return status;
}

absl::Status Slot::Compute(const kernels::cuda::BatchLayout& layout) {
  absl::Status status = Reserve(layout.input_bytes(), layout.output_bytes());
  if (!status.ok()) return status;
  layout.Stage(pinned_input_.data);
  status = Submit(layout);
  if (status.ok()) status = device_.Wait(event_);
  if (status.ok() || IsSticky(status)) return status;
  // Part of the batch may be under way: the buffers must not be used again, nor
  // freed, before the stream is done with them.
  if (absl::Status drained = device_.Drain(stream_); !drained.ok()) {
    return absl::UnavailableError(
        absl::StrCat(status.message(), "; then ", drained.message()));
  }
  return status;
}

}  // namespace lossd::execution::cuda
