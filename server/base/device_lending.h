// The server's GPUs, as far as memory that clients lend on them is concerned.
#ifndef LOSSD_SERVER_BASE_DEVICE_LENDING_H_
#define LOSSD_SERVER_BASE_DEVICE_LENDING_H_

#include <array>
#include <cstddef>
#include <span>

#include "absl/status/statusor.h"

namespace lossd {

// As cuDeviceGetUuid() says.
using DeviceUuid = std::array<std::byte, 16>;
// As cudaIpcGetMemHandle() says.
using IpcHandle = std::array<std::byte, 64>;

// An allocation of a client, all of it.
struct DeviceAllocation {
  int device = 0;  // the GPU's number in the server
  // Addresses of that GPU: the host passes them on and reads nothing there.
  std::span<std::byte> bytes;
};

// Opens what clients lend. Whoever computes implements it. Thread-safe, and
// outlives what it has opened.
class Devices {
 public:
  virtual ~Devices() = default;

  // Begins at a multiple of 64. NOT_FOUND if no GPU of the server has that
  // UUID, UNAVAILABLE if it is lost, INVALID_ARGUMENT if the handle opens
  // nothing there, RESOURCE_EXHAUSTED if there is no room to map it.
  virtual absl::StatusOr<DeviceAllocation> Open(const DeviceUuid& uuid,
                                                const IpcHandle& handle) = 0;
  // Once for each Open(), when no kernel uses it any more.
  virtual void Close(const DeviceAllocation& allocation) = 0;
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_DEVICE_LENDING_H_
