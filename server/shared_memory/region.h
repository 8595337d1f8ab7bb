// A region: memory that a client and the server can both reach.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "base/file_descriptor.h"
#include "server/base/host_pinning.h"
#include "server/machine/available_memory.h"

namespace lossd::shared_memory {

// Bytes that requests may name, for as long as the object lives. A region is
// either shared memory of the host, which the server makes, or lent device
// memory: a part of an allocation on a GPU, which belongs to the client
// (lent_memory.h).
//
// The client may change the bytes at any moment, so code that reads them must
// not decide anything about addresses by their values (D39).
//
// Shared memory is whole pages that are mapped into this process and never
// fault: the server makes the file, takes all its pages, and seals its size
// before a client sees it (D38). The server keeps no descriptor of it. The
// destructor gives the pages back even while the client still maps them; the
// client then reads zeros. Pages that are pinned (D63) are unpinned first, and
// stay if a GPU may still write there.
//
// Thread-safe: the object does not change.
class Region {
 public:
  // Returns the bytes of memory that are left on the machine.
  using Available = uint64_t (*)();

  struct Created {
    std::unique_ptr<Region> region;
    FileDescriptor file;  // for the client
  };

  // Makes shared memory of `byte_size` bytes, at least 1, rounded up to whole
  // pages. RESOURCE_EXHAUSTED if the machine has not got that much memory and
  // 128 MiB beside it for others, or if it has no descriptor left. Tests pass
  // their own `available`. `pinning`, unless null, is borrowed and asked to pin
  // the pages; if it does not, the region works all the same.
  static absl::StatusOr<Created> Create(
      uint64_t byte_size, Available available = &machine::AvailableMemory,
      HostPinning* pinning = nullptr);
  virtual ~Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Shared memory begins at a page. Lent memory begins at a multiple of
  // kRegionAlignment (device_lending.h) and has addresses of its GPU, where the
  // host must not read.
  std::span<std::byte> bytes() const { return bytes_; }

  // The number, in this server, of the GPU whose memory this is; none for
  // shared memory.
  std::optional<int> device() const { return device_; }
  bool on_device() const { return device_.has_value(); }

  // Returns whether the GPUs copy from and to this shared memory by themselves.
  bool pinned() const { return pinned_; }

 protected:
  explicit Region(std::span<std::byte> bytes,
                  std::optional<int> device = std::nullopt, bool pinned = false)
      : bytes_(bytes), device_(device), pinned_(pinned) {}

 private:
  const std::span<std::byte> bytes_;
  const std::optional<int> device_;
  const bool pinned_;
};

// Returns `byte_size` rounded up to whole pages, but at most 2^63.
uint64_t WholePages(uint64_t byte_size);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_H_
