#include "server/execution/cuda/pool_pinning.h"

#include "absl/status/status.h"

namespace lossd::execution::cuda {
namespace {

// Memory that one device pins is pinned for all of them (Device::Pin()).
constexpr int kPinningDevice = 0;

}  // namespace

bool PoolPinning::Pin(std::span<std::byte> pages) {
  if (AnyRetired() || !TakeBytes(pages.size())) return false;
  Device& device = pool_->device(kPinningDevice);
  if (device.Pin({pages.data(), pages.size()}).ok()) return true;
  bytes_.fetch_sub(pages.size(), std::memory_order_relaxed);
  return false;
}

bool PoolPinning::Unpin(std::span<std::byte> pages) {
  if (AnyRetired()) return false;
  Device& device = pool_->device(kPinningDevice);
  const PinnedMemory memory = {pages.data(), pages.size()};
  absl::Status status = device.Unpin(memory);
  if (!status.ok() && !IsSticky(status)) status = device.Unpin(memory);
  if (!status.ok()) return false;
  bytes_.fetch_sub(pages.size(), std::memory_order_relaxed);
  return true;
}

bool PoolPinning::TakeBytes(uint64_t bytes) {
  uint64_t taken = bytes_.load(std::memory_order_relaxed);
  do {
    if (taken > max_bytes_ || bytes > max_bytes_ - taken) return false;
  } while (!bytes_.compare_exchange_weak(taken, taken + bytes,
                                         std::memory_order_relaxed));
  return true;
}

bool PoolPinning::AnyRetired() const {
  for (int number = 0; number < pool_->device_count(); ++number) {
    if (pool_->retired(number)) return true;
  }
  return false;
}

}  // namespace lossd::execution::cuda
