// The shared memory that one request refers to.
#ifndef LOSSD_SERVER_REQUEST_SHARED_TENSORS_H_
#define LOSSD_SERVER_REQUEST_SHARED_TENSORS_H_

#include <cstddef>
#include <memory>
#include <span>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/tensor.pb.h"
#include "server/shared_memory/region_table.h"

namespace lossd::request {

// Bytes of a region, and the GPU whose memory they are.
struct SharedBytes {
  std::span<std::byte> bytes;
  int device = kernels::kHost;
  bool on_device() const { return device != kernels::kHost; }
};

// Finds the regions, checks where in them the bytes lie, and holds the regions
// until the request has ended: a client may release them, or die, meanwhile.
//
// The bytes are the client's to change at any moment, so nothing is decided by
// them here. Errors name the field: UNIMPLEMENTED without a table, NOT_FOUND
// and FAILED_PRECONDITION as RegionTable::Find() says, INVALID_ARGUMENT for
// bytes outside of their region and for bytes of two GPUs: one computes a
// request. Not thread-safe.
class SharedTensors {  // D39
 public:
  // Begins a request, and lets go of the one before. `table` is borrowed until
  // the next Start(); null: there is no shared memory.
  void Start(const shared_memory::RegionTable* table);

  // Bytes that the tensor at `path`, a literal, reads: elements of `type`. On a
  // GPU they begin where such an element may, or it is INVALID_ARGUMENT: a
  // kernel that read them would lose the device.
  absl::StatusOr<SharedBytes> Source(absl::string_view path,
                                     const v1::SharedMemoryRef& ref,
                                     kernels::ElementType type);

  // Bytes that the gradient is written to; after every Source(). They begin
  // where a kernel may write, and overlap with no source, or it is
  // INVALID_ARGUMENT.
  absl::StatusOr<SharedBytes> Destination(const v1::SharedMemoryRef& ref);

  // The GPU that has any of these bytes, or kernels::kHost.
  int device() const { return device_; }

 private:
  struct Used {
    std::shared_ptr<const shared_memory::Region> region;
    absl::string_view name;  // of the request
  };
  struct Read {
    absl::string_view path;
    kernels::Piece bytes;
    uint64_t offset = 0;  // in its region
  };

  absl::StatusOr<SharedBytes> Locate(absl::string_view path,
                                     const v1::SharedMemoryRef& ref);
  absl::StatusOr<const shared_memory::Region*> RegionOf(absl::string_view path,
                                                        absl::string_view name);
  absl::Status CheckDevice(absl::string_view path, int device) const;
  absl::Status CheckOverlap(const v1::SharedMemoryRef& ref,
                            std::span<std::byte> destination) const;

  const shared_memory::RegionTable* table_ = nullptr;
  absl::InlinedVector<Used, 2> used_;
  absl::InlinedVector<Read, 5> read_;
  int device_ = kernels::kHost;
  absl::string_view device_path_;  // the first that is of that GPU
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_SHARED_TENSORS_H_
