// Memory that a client and the server both map.
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

// Whole pages that are mapped here for as long as the object lives, and that
// never fault: the server made the file, sealed its size before a client saw
// it, and took its pages when it made it. What is in them is the client's to
// change at any moment: whoever reads them decides nothing about addresses by
// what was read.
//
// The server keeps no descriptor. Its end gives the pages back even while a
// client still maps them; that client then reads zeros.
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
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Aligned to a page.
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  explicit Region(std::span<std::byte> bytes) : bytes_(bytes) {}

  const std::span<std::byte> bytes_;
};

// `byte_size` rounded up to whole pages; 2^63 for anything above.
uint64_t WholePages(uint64_t byte_size);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_H_
