#include "server/execution/cuda/slot.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"

namespace lossd::execution::cuda {
namespace {

using kernels::cuda::TensorPlace;

// A batch that nothing is copied for takes about as long as its thread takes to
// wake up, so it is polled for, at most this often: 0.2 to 0.5 ms.
constexpr int kPolls = 500;  // D64

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
  using kernels::cuda::DirectCopy;
  RETURN_IF_ERROR(device_.CopyToDevice(place.device_input, place.input,
                                       layout.staged_input_bytes(), stream_));
  for (const DirectCopy& copy : layout.copies_in()) {
    RETURN_IF_ERROR(device_.CopyToDevice(From(place.device_input, copy.place),
                                         {copy.host, copy.bytes}, copy.bytes,
                                         stream_));
  }
  RETURN_IF_ERROR(device_.Launch(batch, stream_));
  RETURN_IF_ERROR(device_.CopyToHost(place.output, place.device_output,
                                     layout.staged_output_bytes(), stream_));
  for (const DirectCopy& copy : layout.copies_out()) {
    RETURN_IF_ERROR(device_.CopyToHost({copy.host, copy.bytes},
                                       From(place.device_output, copy.place),
                                       copy.bytes, stream_));
  }
  return device_.Record(event_, stream_);
}

absl::Status Slot::Compute(
    const kernels::cuda::BatchLayout& layout,
    absl::FunctionRef<void(const std::byte* output)> take) {
  const size_t staged = TensorPlace(layout.staged_input_bytes());
  const size_t whole = TensorPlace(layout.input_bytes());
  auto pinned = memory_.pinned.Acquire(staged + layout.staged_output_bytes());
  if (!pinned.ok()) return pinned.status();
  auto device = memory_.device.Acquire(whole + layout.output_bytes());
  if (!device.ok()) return device.status();
  const Place place = {.input = pinned->memory(),
                       .output = From(pinned->memory(), staged),
                       .device_input = device->memory(),
                       .device_output = From(device->memory(), whole)};

  const kernels::cuda::PackedBatch batch =
      layout.At(place.device_input.address, place.device_output.address);
  layout.Stage(batch, place.input.data);
  absl::Status status = Submit(layout, batch, place);
  if (status.ok()) status = Await(layout.lies_on_device());
  if (status.ok()) {
    take(place.output.data);
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

absl::Status Slot::Await(bool is_soon_done) {
  for (int k = 0; is_soon_done && k < kPolls; ++k) {
    const absl::StatusOr<bool> happened = device_.Happened(event_);
    if (!happened.ok()) return happened.status();
    if (*happened) return absl::OkStatus();
  }
  return device_.Wait(event_);
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
