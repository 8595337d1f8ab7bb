#ifndef LOSSD_CLIENT_CPP_SHARED_MEMORY_H_
#define LOSSD_CLIENT_CPP_SHARED_MEMORY_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "client/cpp/tensor_view.h"

namespace lossd::client {

class RegionSocket;

// Memory that this process and a server on the same host both map: tensors in
// it are named in a request, not sent.
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
// From the start of a call until its end the server reads and writes there: who
// changes a tensor meanwhile gets some loss and some gradient. It may still do
// so for a while after a call that was cancelled or ran out of time.
//
// Or memory of a GPU that the client has and lends (SharedMemory::Lend()): the
// same, but that nothing of it is copied, that bytes() are addresses of the
// GPU, and that the client's own work there must be done before a call.
//
// Zeros at first, if it is not lent. Lives until it is destroyed, here or with
// the process; its pages then go back, and requests that name it are
// FAILED_PRECONDITION. It may outlive its SharedMemory.
class SharedRegion {
 public:
  ~SharedRegion();
  SharedRegion(const SharedRegion&) = delete;
  SharedRegion& operator=(const SharedRegion&) = delete;

  // What the server calls it.
  const std::string& name() const { return name_; }

  // At least what was asked for, in whole pages; or what was lent.
  std::span<std::byte> bytes() const { return bytes_; }

  // `count` elements, `offset` bytes from the start, which is a multiple of
  // sizeof(T), and of 64 for a gradient; within bytes().
  template <typename T>
  std::span<T> Part(size_t offset, size_t count) const {
    return {reinterpret_cast<T*>(bytes_.data() + offset), count};
  }

  // A tensor of elements that lie in this region. It borrows the region.
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

// Memory of a GPU of the server's, for the server to use.
// CudaDriver::Describe() fills it in.
struct DeviceMemory {
  // Addresses of the GPU, in one allocation of cuMemAlloc() or cudaMalloc().
  std::span<std::byte> bytes = {};
  // Where in the allocation they begin; a multiple of 64.
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
  // INVALID_ARGUMENT for a path that no socket can have, UNAVAILABLE if nobody
  // listens there.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Connect(
      const std::string& path);

  // Takes milliseconds, and longer for more: meant to be kept and used again.
  // RESOURCE_EXHAUSTED beyond the server's limits, UNAVAILABLE if it is gone.
  absl::StatusOr<std::unique_ptr<SharedRegion>> Allocate(size_t byte_size);

  // Lends the server memory of a GPU until the region is destroyed; it is not
  // freed before. UNIMPLEMENTED if the server computes on no GPU, NOT_FOUND if
  // not on this one, INVALID_ARGUMENT for a handle or an offset that is none.
  absl::StatusOr<std::unique_ptr<SharedRegion>> Lend(
      const DeviceMemory& memory);

 private:
  explicit SharedMemory(std::shared_ptr<RegionSocket> socket)
      : socket_(std::move(socket)) {}

  // Shared with the regions, which are released through it.
  const std::shared_ptr<RegionSocket> socket_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SHARED_MEMORY_H_
