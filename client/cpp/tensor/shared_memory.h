// Memory that a client shares with a server on the same host.
#ifndef LOSSD_CLIENT_CPP_TENSOR_SHARED_MEMORY_H_
#define LOSSD_CLIENT_CPP_TENSOR_SHARED_MEMORY_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::client {

class RegionSocket;

// Memory that this process and a server both map. A request names the tensors
// in it and does not send them.
//
//   auto memory = SharedMemory::Connect("/run/lossd/shared_memory");
//   auto region = (*memory)->Allocate(3 << 20);
//   std::span<float> logits = (*region)->Part<float>(0, 1000);
//   std::span<float> targets = (*region)->Part<float>(4096, 1000);
//   std::span<float> gradient = (*region)->Part<float>(8192, 1000);
//   ...
//   LossRequest request{
//       .logits = (*region)->View<float>(logits),
//       .targets = (*region)->View<float>(targets),
//       .shared_gradient = SharedSpan{region->get(),
//                                     std::as_writable_bytes(gradient)}};
//
// From the start of a call until its end the server reads and writes there. If
// a tensor changes meanwhile, loss and gradient are undefined numbers. After a
// call that was cancelled or ran out of time, the server may go on for a while.
//
// A region can also be memory of a GPU that the client has and lends
// (SharedMemory::Lend()). Then bytes() are addresses of the GPU, and the
// client's own work there must be done before a call.
//
// A region that is not lent begins as zeros. When it is destroyed, or the
// process ends, its pages go back to the system, and requests that name it are
// FAILED_PRECONDITION. It may outlive its SharedMemory. Thread-safe.
class SharedRegion {
 public:
  ~SharedRegion();
  SharedRegion(const SharedRegion&) = delete;
  SharedRegion& operator=(const SharedRegion&) = delete;

  // Returns the server's name for the region.
  const std::string& name() const { return name_; }

  // Returns at least as many bytes as were asked for, in whole pages; or the
  // bytes that were lent.
  std::span<std::byte> bytes() const { return bytes_; }

  // Returns `count` elements that begin `offset` bytes from the start, within
  // bytes(). The offset is a multiple of sizeof(T), and of 64 for a gradient.
  template <typename T>
  std::span<T> Part(size_t offset, size_t count) const {
    return {reinterpret_cast<T*>(bytes_.data() + offset), count};
  }

  // Returns a tensor of elements that lie in this region, which it borrows.
  template <typename T>
  TensorView View(std::span<const T> elements, Shape shape) const {
    TensorView view = TensorView::Of<T>(elements, std::move(shape));
    view.region = this;
    return view;
  }
  template <typename T>
  TensorView View(std::span<const T> elements) const {
    return View<T>(elements, {static_cast<int64_t>(elements.size())});
  }

 private:
  friend class SharedMemory;
  SharedRegion(std::shared_ptr<RegionSocket> socket, std::string name,
               std::span<std::byte> bytes, bool mapped)
      : socket_(std::move(socket)),
        name_(std::move(name)),
        bytes_(bytes),
        mapped_(mapped) {}

  const std::shared_ptr<RegionSocket> socket_;
  const std::string name_;
  const std::span<std::byte> bytes_;
  const bool mapped_;  // by this object
};

// All that a server needs to open memory of a GPU that it uses too.
// CudaDriver::Describe() fills it in.
struct DeviceMemoryHandle {
  // Addresses of the GPU, within one allocation of cuMemAlloc() or
  // cudaMalloc().
  std::span<std::byte> bytes = {};
  // The offset of the bytes in the allocation, a multiple of 64.
  size_t offset = 0;
  std::array<std::byte, 16> device_uuid = {};  // cuDeviceGetUuid()
  std::array<std::byte, 64> ipc_handle = {};   // cuIpcGetMemHandle()
};

// Bytes that lie in `region`; both are borrowed.
struct SharedSpan {
  const SharedRegion* region = nullptr;
  std::span<std::byte> bytes = {};
};

// A connection to a server's --shared_memory_socket. Thread-safe.
class SharedMemory {
 public:
  // Connects. INVALID_ARGUMENT for a path that no socket can have, UNAVAILABLE
  // if no server listens there.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Connect(
      const std::string& path);

  // Returns new memory. This takes milliseconds, and longer for more bytes, so
  // that regions are best kept and reused. RESOURCE_EXHAUSTED beyond the
  // server's limits, UNAVAILABLE if the server is gone.
  absl::StatusOr<std::unique_ptr<SharedRegion>> Allocate(size_t byte_size);

  // Lends the server memory of a GPU until the region is destroyed; it must not
  // be freed before. UNIMPLEMENTED if the server computes on no GPU, NOT_FOUND
  // if it computes on others, INVALID_ARGUMENT for a bad handle or offset.
  absl::StatusOr<std::unique_ptr<SharedRegion>> Lend(
      const DeviceMemoryHandle& memory);

 private:
  explicit SharedMemory(std::shared_ptr<RegionSocket> socket)
      : socket_(std::move(socket)) {}

  // Shared with the regions, which are released through it.
  const std::shared_ptr<RegionSocket> socket_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_SHARED_MEMORY_H_
