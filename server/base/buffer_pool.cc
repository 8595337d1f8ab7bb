#include "server/base/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace lossd {
namespace {

constexpr size_t kAlignment = 64;

// The class of a capacity is its binary logarithm. Rounding up to a power of
// two costs addresses, not memory: the system backs only the pages that are
// touched.
size_t CapacityFor(size_t size) {
  return std::bit_ceil(std::max(size, kAlignment));
}

size_t ClassOf(size_t capacity) {
  return static_cast<size_t>(std::countr_zero(capacity));
}

}  // namespace

Buffer::~Buffer() {
  if (pool_ != nullptr) pool_->Return(data_, capacity_);
}

BufferPool::BufferPool(size_t max_bytes, Allocate allocate)
    : max_bytes_(max_bytes), allocate_(allocate) {}

BufferPool::~BufferPool() { Trim(); }

void BufferPool::Trim() {
  absl::MutexLock lock(&mu_);
  FreeKept();
}

void BufferPool::FreeKept() {
  for (auto& buffers : free_) {
    for (std::byte* data : buffers) std::free(data);
    buffers.clear();
  }
  pooled_bytes_ = 0;
}

Buffer BufferPool::Take(size_t size) {
  Buffer buffer;
  if (size == 0 || size > kMaxBufferBytes) return buffer;
  const size_t capacity = CapacityFor(size);
  std::byte* data = TakePooled(capacity);
  if (data == nullptr) {
    data = static_cast<std::byte*>(allocate_(kAlignment, capacity));
  }
  if (data == nullptr) {
    absl::MutexLock lock(&mu_);
    taken_bytes_ -= capacity;
    return buffer;
  }
  buffer.pool_ = this;
  buffer.data_ = data;
  buffer.size_ = size;
  buffer.capacity_ = capacity;
  return buffer;
}

std::byte* BufferPool::TakePooled(size_t capacity) {
  absl::MutexLock lock(&mu_);
  auto& buffers = free_[ClassOf(capacity)];
  taken_bytes_ += capacity;
  if (buffers.empty()) {
    if (pooled_bytes_ + taken_bytes_ > max_bytes_) FreeKept();
    return nullptr;
  }
  // The last one returned is the likeliest to be in a cache.
  std::byte* data = buffers.back();
  buffers.pop_back();
  pooled_bytes_ -= capacity;
  return data;
}

void BufferPool::Return(std::byte* data, size_t capacity) {
  {
    absl::MutexLock lock(&mu_);
    taken_bytes_ -= capacity;
    if (capacity + taken_bytes_ + pooled_bytes_ <= max_bytes_) {
      free_[ClassOf(capacity)].push_back(data);
      pooled_bytes_ += capacity;
      return;
    }
  }
  std::free(data);
}

size_t BufferPool::pooled_bytes() const {
  absl::MutexLock lock(&mu_);
  return pooled_bytes_;
}

}  // namespace lossd
