// POSIX shared memory in place of a GPU's: what one process allocates, and
// fake devices, of the same process or of another, open.
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

// "lossd fake gpu 0" of "cuda/0".
DeviceUuid FakeUuid(std::string_view device);

// A worker's allocation. Zeros at first. The name goes with the object; whoever
// has opened it keeps the memory.
class FakeAllocation {
 public:
  explicit FakeAllocation(size_t bytes);
  ~FakeAllocation();
  FakeAllocation(const FakeAllocation&) = delete;
  FakeAllocation& operator=(const FakeAllocation&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }
  // Its name, and zeros.
  IpcHandle handle() const;

 private:
  const std::string name_;
  std::span<std::byte> bytes_;
};

// The allocations that a device has open. Like CUDA it maps one once, however
// often it is opened. Unmaps the rest at its end.
class OpenedFiles {
 public:
  OpenedFiles() = default;
  ~OpenedFiles();
  OpenedFiles(const OpenedFiles&) = delete;
  OpenedFiles& operator=(const OpenedFiles&) = delete;

  // INVALID_ARGUMENT for a handle that names no file of the kind.
  absl::StatusOr<DeviceMemory> Open(const IpcHandle& handle);
  // False: that is not open.
  bool Close(DeviceMemory memory);
  // Opened and not closed yet.
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
