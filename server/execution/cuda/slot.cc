#include "server/execution/cuda/slot.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"

namespace lossd::execution::cuda {
namespace {

template <typename Handle>
absl::Status Keep(absl::StatusOr<Handle> made, Handle& handle) {
  if (!made.ok()) return std::move(made).status();
  handle = *made;
  return absl::OkStatus();
}

PinnedMemory From(PinnedMemory memory, size_t offset) {
  return {memory.data + offset, memory.size - offset};
}
DeviceMemory From(DeviceMemory memory, size_t offset) {
  return {memory.address + offset, memory.size - offset};
}

}  // namespace

BatchMemory::BatchMemory(Device& of, uint64_t max_pinned_bytes)
    : pinned(
          max_pinned_bytes,
          [&of](size_t bytes) { return of.AllocatePinned(bytes); },
          [&of](PinnedMemory memory) { return of.FreePinned(memory); }),
      device(
          std::numeric_limits<uint64_t>::max(),
          [&of](size_t bytes) { return of.AllocateDevice(bytes); },
          [&of](DeviceMemory memory) { return of.FreeDevice(memory); }) {}

absl::StatusOr<std::unique_ptr<Slot>> Slot::Create(Device& device,
                                                   BatchMemory& memory) {
  auto slot = std::unique_ptr<Slot>(new Slot(device, memory));
  RETURN_IF_ERROR(Keep(device.CreateStream(), slot->stream_));
  RETURN_IF_ERROR(Keep(device.CreateEvent(), slot->event_));
  return slot;
}

Slot::~Slot() {
  if (may_be_busy_) GiveBack([this] { return device_.Drain(stream_); });
  GiveBack([this] { return device_.DestroyEvent(event_); });
  GiveBack([this] { return device_.DestroyStream(stream_); });
}

absl::Status Slot::Submit(const kernels::cuda::BatchLayout& layout,
                          const kernels::cuda::PackedBatch& batch,
                          const Place& place) {
  RETURN_IF_ERROR(device_.CopyToDevice(place.device, place.pinned,
                                       layout.input_bytes(), stream_));
  const DeviceMemory output = From(place.device, place.output);
  RETURN_IF_ERROR(device_.Launch(batch, stream_));
  RETURN_IF_ERROR(device_.CopyToHost(From(place.pinned, place.output), output,
                                     layout.output_bytes(), stream_));
  return device_.Record(event_, stream_);
}

absl::Status Slot::Compute(
    const kernels::cuda::BatchLayout& layout,
    absl::FunctionRef<void(const std::byte* output)> take) {
  Place place;
  place.output = kernels::cuda::TensorPlace(layout.input_bytes());
  const size_t bytes = place.output + layout.output_bytes();
  auto pinned = memory_.pinned.Acquire(bytes);
  if (!pinned.ok()) return pinned.status();
  auto device = memory_.device.Acquire(bytes);
  if (!device.ok()) return device.status();
  place.pinned = pinned->memory();
  place.device = device->memory();

  const kernels::cuda::PackedBatch batch =
      layout.At(place.device.address, place.device.address + place.output);
  layout.Stage(batch, place.pinned.data);
  absl::Status status = Submit(layout, batch, place);
  if (status.ok()) status = device_.Wait(event_);
  if (status.ok()) {
    take(place.pinned.data + place.output);
    return status;
  }
  status = Stop(status);
  if (IsSticky(status)) {
    // Another slot of the device may not have noticed yet that it is lost.
    pinned->Forfeit();
    device->Forfeit();
  }
  return status;
}

absl::Status Slot::Stop(const absl::Status& status) {
  if (IsSticky(status)) return status;
  const absl::Status drained = device_.Drain(stream_);
  if (drained.ok()) return status;
  may_be_busy_ = true;
  return absl::UnavailableError(
      absl::StrCat(status.message(), "; then ", drained.message()));
}

}  // namespace lossd::execution::cuda
