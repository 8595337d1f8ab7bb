// Large byte buffers that are used again instead of being returned to the
// system.
#ifndef LOSSD_SERVER_BASE_BUFFER_POOL_H_
#define LOSSD_SERVER_BASE_BUFFER_POOL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lossd {

class BufferPool;

// Owns one buffer; gives it back to its pool when destroyed. Move-only. The
// memory is aligned to 64 bytes and not initialised.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Keeps up to `max_pooled_bytes` of returned buffers, by size class. A gradient
// of 4 MB taken fresh from the system costs a page fault per 4 KiB; one that is
// used again costs none. Thread-safe. Outlives its buffers.
class BufferPool {
 public:
  // Of a multiple of `alignment`; null if there is no such memory.
  using Allocate = void* (*)(size_t alignment, size_t size);

  // `allocate` gives what std::free() takes back; another one is for tests.
  explicit BufferPool(size_t max_pooled_bytes,
                      Allocate allocate = &std::aligned_alloc);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A buffer of `size` bytes; with size 0 an empty one. Also an empty one, with
  // a null data(), if the system has no such memory left.
  Buffer Take(size_t size);

  size_t pooled_bytes() const;

 private:
  friend class Buffer;
  // Null if none of that capacity is pooled.
  std::byte* TakePooled(size_t capacity);
  void Return(std::byte* data, size_t capacity);

  static constexpr size_t kMaxBufferBytes = size_t{1} << 62;
  static constexpr int kClasses = 63;  // of capacity 2^k
  const size_t max_pooled_bytes_;
  const Allocate allocate_;
  mutable absl::Mutex mu_;
  size_t pooled_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::array<std::vector<std::byte*>, kClasses> free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_BUFFER_POOL_H_
