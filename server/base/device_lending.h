// Device memory that clients lend to the server: the interface between the
// table of regions, which hands it out, and the executor that owns the GPUs.
#ifndef LOSSD_SERVER_BASE_DEVICE_LENDING_H_
#define LOSSD_SERVER_BASE_DEVICE_LENDING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace lossd {

// The UUID of a GPU, as cuDeviceGetUuid() gives it.
using DeviceUuid = std::array<std::byte, 16>;
// The handle of an allocation, as cudaIpcGetMemHandle() gives it.
using IpcHandle = std::array<std::byte, 64>;

// Every region begins at a multiple of this many bytes, and so does the
// destination of a gradient, because the kernels ask for that.
inline constexpr uint64_t kRegionAlignment = 64;

// A client's whole allocation on a GPU.
struct DeviceAllocation {
  int device = 0;  // the GPU's number in the server
  // Addresses of that GPU. The host passes them on and must not read there.
  std::span<std::byte> bytes;
};

// Opens allocations that clients lend. Thread-safe. Outlives the allocations
// that it has opened.
class DeviceLending {
 public:
  virtual ~DeviceLending() = default;

  // Opens the allocation that `handle` names on the GPU with that UUID; it
  // begins at a multiple of kRegionAlignment. NOT_FOUND if the server uses no
  // such GPU, UNAVAILABLE if the GPU is lost, INVALID_ARGUMENT if the handle
  // opens nothing there, RESOURCE_EXHAUSTED if there is no room to map it.
  virtual absl::StatusOr<DeviceAllocation> Open(const DeviceUuid& uuid,
                                                const IpcHandle& handle) = 0;
  // Closes the allocation. Call it once for each Open(), when no kernel uses
  // the memory any more.
  virtual void Close(const DeviceAllocation& allocation) = 0;
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_DEVICE_LENDING_H_
