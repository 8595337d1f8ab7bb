#ifndef LOSSD_CLIENT_CPP_CUDA_DRIVER_H_
#define LOSSD_CLIENT_CPP_CUDA_DRIVER_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/shared_memory.h"

namespace lossd::client {

struct CudaFunctions;
class CudaDriver;

// An allocation on a GPU, freed when destroyed. Move-only. Lent to a server, it
// outlives its region.
class CudaMemory {
 public:
  CudaMemory(CudaMemory&& other) noexcept { *this = std::move(other); }
  CudaMemory& operator=(CudaMemory&& other) noexcept {
    std::swap(driver_, other.driver_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~CudaMemory();

  // Addresses of the GPU's: nothing here reads or writes there.
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class CudaDriver;
  CudaMemory(const CudaDriver* driver, std::span<std::byte> bytes)
      : driver_(driver), bytes_(bytes) {}
  const CudaDriver* driver_ = nullptr;
  std::span<std::byte> bytes_;
};

// One GPU, through the driver's own library, which is looked for when a program
// runs: it starts, and does without, where there is none, and is built without
// a CUDA toolkit. What PyTorch and others allocate is in the same context (the
// primary one). Thread-safe; leaves a thread's current context as it was.
//
//   auto driver = CudaDriver::Open();
//   auto memory = (*driver)->Allocate(3 << 20);
//   auto region = shared_memory->Lend(*(*driver)->Describe(memory->bytes()));
class CudaDriver {
 public:
  // UNIMPLEMENTED if there is no driver, or one that lacks what is needed;
  // UNAVAILABLE if it has no such GPU. `library` is another for tests.
  static absl::StatusOr<std::unique_ptr<CudaDriver>> Open(
      int device = 0, const char* library = "libcuda.so.1");
  ~CudaDriver();
  CudaDriver(const CudaDriver&) = delete;
  CudaDriver& operator=(const CudaDriver&) = delete;

  // RESOURCE_EXHAUSTED if the GPU has no such memory.
  absl::StatusOr<CudaMemory> Allocate(size_t bytes) const;

  // What a server must know of these bytes to use them; they lie in one
  // allocation of this GPU, whoever made it, by cuMemAlloc() or cudaMalloc().
  // INVALID_ARGUMENT if they do not: memory of other allocators has no handle.
  absl::StatusOr<DeviceMemory> Describe(std::span<std::byte> bytes) const;

  // Both return when it is done. `to` and `from` have the same size.
  absl::Status CopyToDevice(std::span<std::byte> to,
                            std::span<const std::byte> from) const;
  absl::Status CopyToHost(std::span<std::byte> to,
                          std::span<const std::byte> from) const;

 private:
  friend class CudaMemory;
  CudaDriver(std::unique_ptr<const CudaFunctions> functions, int device);
  absl::Status Start();
  // Calls `function` in the context.
  template <typename Function>
  absl::Status Call(const char* name, Function function) const;

  const std::unique_ptr<const CudaFunctions> functions_;
  const int device_;
  // Constant after Start().
  void* context_ = nullptr;
  std::array<std::byte, 16> uuid_{};
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CUDA_DRIVER_H_
