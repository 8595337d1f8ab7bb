// A device as the executor sees it: memory, streams, events, copies and
// launches. CudaDevice (cuda_device.cc) is the real one; tests use a fake.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_DEVICE_H_
#define LOSSD_SERVER_EXECUTION_CUDA_DEVICE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/batch_layout.h"
#include "server/base/device_lending.h"

namespace lossd::execution::cuda {

// Pinned host memory, from and to which the device copies by itself. It lies on
// the device's NUMA node if that has room.
struct PinnedMemory {
  std::byte* data = nullptr;
  size_t size = 0;
};

// Memory of the device. The host must not dereference `address`.
struct DeviceMemory {
  std::byte* address = nullptr;
  size_t size = 0;
};

// Work submitted to one stream runs in order; streams overlap.
struct Stream {
  void* handle = nullptr;
};

struct Event {
  void* handle = nullptr;
};

// Thread-safe, but a stream and its event are used by one thread at a time.
//
// Every call that can fail returns a status that names the call and the error:
//   UNAVAILABLE         the device is lost to this process; every later call
//                       fails too (IsSticky)
//   RESOURCE_EXHAUSTED  there is too little memory
//   any other code      this call alone failed
// Copies and launches are asynchronous, so their errors may come from a later
// call.
//
// Free...() and Destroy...() accept an empty handle and do nothing.
class Device {
 public:
  virtual ~Device() = default;

  // Returns a name like "cuda/0": the label in metrics and the backend in
  // replies.
  virtual std::string_view name() const = 0;
  virtual const DeviceUuid& uuid() const = 0;

  virtual absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) = 0;
  virtual absl::Status FreePinned(PinnedMemory memory) = 0;
  // Pins whole pages that the caller has mapped, for this and all other devices
  // of the process. Their owner keeps them mapped until Unpin() has succeeded.
  virtual absl::Status Pin(PinnedMemory pages) = 0;
  // Undoes one Pin(). No stream of any device uses the pages any more.
  virtual absl::Status Unpin(PinnedMemory pages) = 0;
  virtual absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) = 0;
  virtual absl::Status FreeDevice(DeviceMemory memory) = 0;

  // Maps the whole allocation that another process has on this device. Its size
  // comes from the driver, never from the client, because an access beyond it
  // would lose the device (D40). An allocation that is opened twice may have
  // one address. Errors: INVALID_ARGUMENT if the handle is bad, which is the
  // client's fault and no failure of the device.
  virtual absl::StatusOr<DeviceMemory> OpenIpc(const IpcHandle& handle) = 0;
  // Unmaps it. Called once for each OpenIpc(), when no stream uses the memory.
  virtual absl::Status CloseIpc(DeviceMemory memory) = 0;

  virtual absl::StatusOr<Stream> CreateStream() = 0;
  virtual absl::Status DestroyStream(Stream stream) = 0;
  virtual absl::StatusOr<Event> CreateEvent() = 0;
  virtual absl::Status DestroyEvent(Event event) = 0;

  // Copies the first `bytes` bytes.
  virtual absl::Status CopyToDevice(DeviceMemory to, PinnedMemory from,
                                    size_t bytes, Stream stream) = 0;
  virtual absl::Status CopyToHost(PinnedMemory to, DeviceMemory from,
                                  size_t bytes, Stream stream) = 0;
  // Computes `batch`, which lies in device memory.
  virtual absl::Status Launch(const kernels::cuda::PackedBatch& batch,
                              Stream stream) = 0;

  // The event happens when all work submitted to the stream so far is done.
  virtual absl::Status Record(Event event, Stream stream) = 0;
  // Returns whether the event has happened, and does not wait.
  virtual absl::StatusOr<bool> Happened(Event event) = 0;
  // Sleeps until the event has happened.
  virtual absl::Status Wait(Event event) = 0;
  // Sleeps until the stream is idle, so that it no longer uses any memory.
  virtual absl::Status Drain(Stream stream) = 0;
};

// Returns whether the device is lost to this process.
inline bool IsSticky(const absl::Status& status) {  // D36
  return absl::IsUnavailable(status);
}

// Releases a device resource by `end`; retries once. If that fails too, or the
// device is lost, the resource leaks until the process ends.
template <typename End>
void GiveBack(End end) {
  const absl::Status status = end();
  if (!status.ok() && !IsSticky(status)) end().IgnoreError();
}

// Opens the devices with these numbers, in this order, or without numbers every
// device of the machine that can run the kernels. Returns at least one device.
// Errors:
//   UNIMPLEMENTED     this build links the stub instead of CUDA
//   UNAVAILABLE       there is no driver or no device, or a device does not
//                     answer or this build has no code for it
//   INVALID_ARGUMENT  no device has a number, or a number is given twice
absl::StatusOr<std::vector<std::unique_ptr<Device>>> OpenDevices(
    std::span<const int> ids);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_DEVICE_H_
