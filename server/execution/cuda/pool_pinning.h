// Pins regions of shared memory for the devices of a pool.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_POOL_PINNING_H_
#define LOSSD_SERVER_EXECUTION_CUDA_POOL_PINNING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "server/base/host_pinning.h"
#include "server/execution/cuda/slot_pool.h"

namespace lossd::execution::cuda {

// Pinned regions are at most `max_bytes` together; memory beyond that is not
// pinned. Once a device of the pool is retired nothing is pinned or unpinned
// any more, because the lost device may still copy. No error here retires a
// device: only the executor does. Thread-safe.
class PoolPinning final : public HostPinning {  // D63
 public:
  // Borrows `pool`.
  PoolPinning(const SlotPool* pool, uint64_t max_bytes)
      : pool_(pool), max_bytes_(max_bytes) {}

  [[nodiscard]] bool Pin(std::span<std::byte> pages) override;
  [[nodiscard]] bool Unpin(std::span<std::byte> pages) override;

  // Returns the memory that is pinned now.
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  bool TakeBytes(uint64_t bytes);
  bool AnyRetired() const;

  const SlotPool* const pool_;
  const uint64_t max_bytes_;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_POOL_PINNING_H_
