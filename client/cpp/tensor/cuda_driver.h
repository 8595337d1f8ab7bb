// The CUDA driver, loaded when a program runs.
#ifndef LOSSD_CLIENT_CPP_TENSOR_CUDA_DRIVER_H_
#define LOSSD_CLIENT_CPP_TENSOR_CUDA_DRIVER_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/tensor/shared_memory.h"

namespace lossd::client {

struct CudaFunctions;
class CudaDriver;

// An allocation on a GPU, freed when destroyed. Move-only. While it is lent to
// a server, it must outlive its region.
class CudaMemory {
 public:
  CudaMemory(CudaMemory&& other) noexcept { *this = std::move(other); }
  CudaMemory& operator=(CudaMemory&& other) noexcept {
    std::swap(driver_, other.driver_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~CudaMemory();

  // Returns addresses of the GPU, which the CPU must not read or write.
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class CudaDriver;
  CudaMemory(const CudaDriver* driver, std::span<std::byte> bytes)
      : driver_(driver), bytes_(bytes) {}
  const CudaDriver* driver_ = nullptr;
  std::span<std::byte> bytes_;
};

// One GPU, used through the driver's library. A program is built without a CUDA
// toolkit, and starts where there is no driver. Memory of PyTorch and others is
// in the same context, the primary one. Thread-safe; leaves a thread's current
// context as it was.
//
//   auto driver = CudaDriver::Open();
//   auto memory = (*driver)->Allocate(3 << 20);
//   auto region = shared_memory->Lend(*(*driver)->Describe(memory->bytes()));
class CudaDriver {
 public:
  // Opens the GPU. UNIMPLEMENTED if there is no driver, or one that lacks a
  // function; UNAVAILABLE if it has no such GPU. Tests pass their own
  // `library`.
  static absl::StatusOr<std::unique_ptr<CudaDriver>> Open(
      int device = 0, const char* library = "libcuda.so.1");
  ~CudaDriver();
  CudaDriver(const CudaDriver&) = delete;
  CudaDriver& operator=(const CudaDriver&) = delete;

  // RESOURCE_EXHAUSTED if the GPU has too little memory left.
  absl::StatusOr<CudaMemory> Allocate(size_t bytes) const;

  // Returns what a server needs to know to use these bytes. They must lie in
  // one allocation of this GPU that cuMemAlloc() or cudaMalloc() made, in any
  // library. INVALID_ARGUMENT otherwise, because other memory has no handle.
  absl::StatusOr<DeviceMemoryHandle> Describe(std::span<std::byte> bytes) const;

  // Copy `from` to `to`, which have equal sizes, and return when that is done.
  absl::Status CopyToDevice(std::span<std::byte> to,
                            std::span<const std::byte> from) const;
  absl::Status CopyToHost(std::span<std::byte> to,
                          std::span<const std::byte> from) const;

 private:
  friend class CudaMemory;
  CudaDriver(std::unique_ptr<const CudaFunctions> functions, int device);
  absl::Status Start();
  // Calls `function` with the GPU's context as the current one.
  template <typename Function>
  absl::Status Call(const char* name, Function function) const;

  const std::unique_ptr<const CudaFunctions> functions_;
  const int device_;
  // Constant after Start().
  void* context_ = nullptr;
  std::array<std::byte, 16> uuid_{};
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_CUDA_DRIVER_H_
