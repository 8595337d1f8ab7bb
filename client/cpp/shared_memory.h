#ifndef LOSSD_CLIENT_CPP_SHARED_MEMORY_H_
#define LOSSD_CLIENT_CPP_SHARED_MEMORY_H_

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
//   auto memory = SharedMemory::Connect("/run/lossd.sock");
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
// Zeros at first. Lives until it is destroyed, here or with the process; its
// pages then go back, and requests that name it are FAILED_PRECONDITION. It may
// outlive its SharedMemory.
class SharedRegion {
 public:
  ~SharedRegion();
  SharedRegion(const SharedRegion&) = delete;
  SharedRegion& operator=(const SharedRegion&) = delete;

  // What the server calls it.
  const std::string& name() const { return name_; }

  // At least what was asked for; whole pages.
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
               std::span<std::byte> bytes)
      : socket_(std::move(socket)), name_(std::move(name)), bytes_(bytes) {}

  const std::shared_ptr<RegionSocket> socket_;
  const std::string name_;
  const std::span<std::byte> bytes_;
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

 private:
  explicit SharedMemory(std::shared_ptr<RegionSocket> socket)
      : socket_(std::move(socket)) {}

  // Shared with the regions, which are released through it.
  const std::shared_ptr<RegionSocket> socket_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SHARED_MEMORY_H_
