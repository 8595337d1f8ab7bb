// A device as the executor sees it: memory, streams, events, copies and one
// launch. The real one is the CUDA runtime (cuda_device.cc); a test's is a
// fake.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_DEVICE_H_
#define LOSSD_SERVER_EXECUTION_CUDA_DEVICE_H_

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/batch_layout.h"
#include "server/base/device_lending.h"

namespace lossd::execution::cuda {

// Host memory that the device copies from and to by itself, as near to the
// device as the machine has it.
struct PinnedMemory {
  std::byte* data = nullptr;
  size_t size = 0;
};

// Memory of the device; the host never reads through `address`.
struct DeviceMemory {
  std::byte* address = nullptr;
  size_t size = 0;
};

// Work handed to one stream runs in order; streams overlap.
struct Stream {
  void* handle = nullptr;
};

struct Event {
  void* handle = nullptr;
};

// Thread-safe; a stream and its event are used by one thread at a time.
//
// Every call that can fail returns a status that names the call and the error.
// UNAVAILABLE means that the device is lost to this process: every later call
// would fail too (IsSticky). Any other code is the failure of that call alone;
// RESOURCE_EXHAUSTED that there is no memory.
// Copies and launches are asynchronous: their errors may come from a later
// call.
//
// Free...() and Destroy...() accept an empty handle and do nothing.
class Device {
 public:
  virtual ~Device() = default;

  // "cuda/0": the label of metrics and the backend of replies.
  virtual std::string_view name() const = 0;
  virtual const DeviceUuid& uuid() const = 0;

  virtual absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) = 0;
  virtual absl::Status FreePinned(PinnedMemory memory) = 0;
  virtual absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) = 0;
  virtual absl::Status FreeDevice(DeviceMemory memory) = 0;

  // An allocation that another process has on this device, all of it: its size
  // is what the driver says, never what a client does, as an access beyond it
  // would lose the device. Opened twice it may have one address. The handle is
  // a stranger's, so what is wrong with it is no failure of the device:
  // INVALID_ARGUMENT.
  virtual absl::StatusOr<DeviceMemory> OpenIpc(const IpcHandle& handle) = 0;
  // Once for each OpenIpc(), when no stream has work with the memory.
  virtual absl::Status CloseIpc(DeviceMemory memory) = 0;

  virtual absl::StatusOr<Stream> CreateStream() = 0;
  virtual absl::Status DestroyStream(Stream stream) = 0;
  virtual absl::StatusOr<Event> CreateEvent() = 0;
  virtual absl::Status DestroyEvent(Event event) = 0;

  // The first `bytes` of one to the first of the other.
  virtual absl::Status CopyToDevice(DeviceMemory to, PinnedMemory from,
                                    size_t bytes, Stream stream) = 0;
  virtual absl::Status CopyToHost(PinnedMemory to, DeviceMemory from,
                                  size_t bytes, Stream stream) = 0;
  // `batch` lies in device memory.
  virtual absl::Status Launch(const kernels::cuda::PackedBatch& batch,
                              Stream stream) = 0;

  // The event happens when all that the stream was handed so far is done.
  virtual absl::Status Record(Event event, Stream stream) = 0;
  // Sleeps until the event has happened.
  virtual absl::Status Wait(Event event) = 0;
  // Sleeps until the stream has nothing to do, so that memory it used is free
  // again.
  virtual absl::Status Drain(Stream stream) = 0;
};

inline bool IsSticky(const absl::Status& status) {  // D36
  return absl::IsUnavailable(status);
}

// Ends something of a device by `end`, once more if that failed: there is no
// later occasion. What then still fails is left to the end of the process, and
// so is what a lost device has.
template <typename End>
void GiveBack(End end) {
  const absl::Status status = end();
  if (!status.ok() && !IsSticky(status)) end().IgnoreError();
}

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_DEVICE_H_
