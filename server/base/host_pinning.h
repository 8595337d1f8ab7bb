// Pinning of host memory: the interface between regions of shared memory and
// the executor that owns the GPUs.
#ifndef LOSSD_SERVER_BASE_HOST_PINNING_H_
#define LOSSD_SERVER_BASE_HOST_PINNING_H_

#include <cstddef>
#include <span>

namespace lossd {

// Pins memory so that every GPU of the server copies from and to it by itself.
// Thread-safe. Outlives the memory that it has pinned.
class HostPinning {
 public:
  virtual ~HostPinning() = default;

  // Pins whole pages. Returns false if they cannot be pinned: they are then
  // memory like any other.
  [[nodiscard]] virtual bool Pin(std::span<std::byte> pages) = 0;

  // Undoes one Pin() that returned true. Call it when no batch uses the pages
  // any more. Returns false if a GPU may still write there: then the pages must
  // stay mapped until the process ends.
  [[nodiscard]] virtual bool Unpin(std::span<std::byte> pages) = 0;
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_HOST_PINNING_H_
