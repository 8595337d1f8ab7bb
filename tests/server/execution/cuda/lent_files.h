// POSIX shared memory in place of a GPU's. One process allocates it, and fake
// devices of the same or of another process open it.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_LENT_FILES_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_LENT_FILES_H_

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

// Returns "lossd fake gpu 0" for "cuda/0".
DeviceUuid FakeUuid(std::string_view device);

// A client's allocation, at first zeros. The name is removed with the object;
// memory that a device has opened stays mapped there.
class FakeAllocation {
 public:
  explicit FakeAllocation(size_t bytes);
  ~FakeAllocation();
  FakeAllocation(const FakeAllocation&) = delete;
  FakeAllocation& operator=(const FakeAllocation&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }
  // Returns a handle that holds the name, padded with zeros.
  IpcHandle handle() const;

 private:
  const std::string name_;
  std::span<std::byte> bytes_;
};

// The allocations that a device has open. Like CUDA it maps an allocation once,
// however often it is opened. The destructor unmaps the rest.
class OpenedFiles {
 public:
  OpenedFiles() = default;
  ~OpenedFiles();
  OpenedFiles(const OpenedFiles&) = delete;
  OpenedFiles& operator=(const OpenedFiles&) = delete;

  // Errors: INVALID_ARGUMENT if the handle names no FakeAllocation.
  absl::StatusOr<DeviceMemory> Open(const IpcHandle& handle);
  // Returns false if the memory is not open.
  bool Close(DeviceMemory memory);
  // Returns how many allocations are open.
  int count() const;

 private:
  struct File {
    DeviceMemory memory;
    int opened = 0;
  };
  std::map<IpcHandle, File> files_;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_LENT_FILES_H_
