// Memory that a client and the server both have.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "server/base/file_descriptor.h"
#include "server/shared_memory/available_memory.h"

namespace lossd::shared_memory {

// Bytes that a request may name, for as long as the object lives. What is in
// them is the client's to change at any moment: whoever reads them decides
// nothing about addresses by what was read.
//
// Memory that Create() made is whole pages that are mapped here and never
// fault: the server made the file, sealed its size before a client saw it, and
// took its pages when it made it. The server keeps no descriptor. Its end gives
// the pages back even while a client still maps them; that client then reads
// zeros. Memory of a GPU is a client's (lent_memory.h).
class Region {
 public:
  // Bytes that the machine has left.
  using Available = uint64_t (*)();

  // A region of `byte_size` bytes, at least 1, rounded up to whole pages;
  // `file` is what the client gets. RESOURCE_EXHAUSTED if the machine has no
  // such memory, or no descriptor, left; some memory is left to others. Another
  // `available` is for tests.
  static absl::StatusOr<std::unique_ptr<Region>> Create(
      uint64_t byte_size, FileDescriptor* file,
      Available available = &AvailableMemory);
  virtual ~Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Aligned to a page, on a GPU to 64 bytes; there they are addresses of its
  // memory, where the host reads nothing.
  std::span<std::byte> bytes() const { return bytes_; }

  // The GPU that has them, by its number in the server.
  int device() const { return device_; }
  bool on_device() const { return device_ != kHost; }
  static constexpr int kHost = -1;

 protected:
  explicit Region(std::span<std::byte> bytes, int device = kHost)
      : bytes_(bytes), device_(device) {}

 private:
  const std::span<std::byte> bytes_;
  const int device_;
};

// `byte_size` rounded up to whole pages; 2^63 for anything above.
uint64_t WholePages(uint64_t byte_size);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_H_
