// Finds and holds the shared memory that one request refers to.
#ifndef LOSSD_SERVER_REQUEST_SHARED_TENSORS_H_
#define LOSSD_SERVER_REQUEST_SHARED_TENSORS_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/tensor.pb.h"
#include "server/shared_memory/region_table.h"

namespace lossd::request {

// Bytes in a region, and the GPU whose memory they are.
struct SharedBytes {
  std::span<std::byte> bytes;
  int device = kernels::kHost;
  bool pinned = false;  // Region::pinned()
  bool on_device() const { return device != kernels::kHost; }
};

// Finds the regions, checks where in them the bytes lie, and holds the regions
// until the request has ended, because a client may release them, or die,
// meanwhile.
//
// The client may change the bytes at any moment, so nothing is decided by them
// here. Errors name the field: UNIMPLEMENTED without a table, PERMISSION_DENIED
// to a client that may not use shared memory, NOT_FOUND and FAILED_PRECONDITION
// from RegionTable::Find(), INVALID_ARGUMENT for bytes
// outside of their region and for bytes on two GPUs, because one GPU computes a
// request. Not thread-safe.
class SharedTensors {  // D39
 public:
  // Begins a request and releases the regions of the one before. `table` is
  // borrowed until the next Start(); null means that there is no shared memory.
  // `permitted` says whether the client may use it.
  void Start(const shared_memory::RegionTable* table, bool permitted = true);

  // Returns the bytes that the tensor at `path`, a literal, is read from.
  // INVALID_ARGUMENT if they lie on a GPU and do not begin where an element of
  // `type` may: a kernel that read them would lose the device.
  absl::StatusOr<SharedBytes> Source(absl::string_view path,
                                     const v1::SharedMemoryRef& ref,
                                     kernels::ElementType type);

  // Returns the bytes that the result at `path`, a literal, is written to. Call
  // it after every Source(). INVALID_ARGUMENT if they do not begin where a
  // kernel may write, or overlap with a source or another destination.
  absl::StatusOr<SharedBytes> Destination(absl::string_view path,
                                          const v1::SharedMemoryRef& ref);

  // Returns the GPU on which any of these bytes lie, or kernels::kHost.
  int device() const { return device_; }

 private:
  struct Used {
    std::shared_ptr<const shared_memory::Region> region;
    absl::string_view name;  // as the request has it
  };
  // Bytes that no result may be written to.
  struct Taken {
    absl::string_view path;
    bool is_source;
    kernels::Piece bytes;
    uint64_t offset = 0;  // in its region
    std::string name() const;
  };

  absl::StatusOr<SharedBytes> Locate(absl::string_view path,
                                     const v1::SharedMemoryRef& ref);
  absl::StatusOr<const shared_memory::Region*> RegionOf(absl::string_view path,
                                                        absl::string_view name);
  void NoteDevice(const SharedBytes& bytes);
  absl::Status CheckDevice(absl::string_view path, int device) const;
  absl::Status CheckOverlap(absl::string_view path,
                            const v1::SharedMemoryRef& ref,
                            std::span<std::byte> destination) const;

  const shared_memory::RegionTable* table_ = nullptr;
  bool permitted_ = true;
  absl::InlinedVector<Used, 2> used_;
  absl::InlinedVector<Taken, 7> taken_;
  int device_ = kernels::kHost;
  size_t device_at_ = 0;  // in taken_: the first on that GPU
};

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_SHARED_TENSORS_H_
