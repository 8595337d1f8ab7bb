// Large byte buffers that are reused instead of being returned to the system.
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

// Owns one buffer, or none, and gives it back to its pool when destroyed. The
// memory is aligned to 64 bytes and not initialised. Move-only. Not
// thread-safe.
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

// Keeps returned buffers, by size class. A gradient of 4 MB in fresh memory of
// the system costs a page fault per 4 KiB; in a reused buffer it costs none.
//
// The buffers that are kept and those in use have at most `max_bytes` together,
// by capacity: kept buffers are freed when others are taken beyond that. The
// pool does not bound what is in use. Thread-safe. Outlives its buffers.
class BufferPool {
 public:
  // Returns `size` bytes, a multiple of `alignment`, that begin at a multiple
  // of `alignment`; null if the system has no such memory.
  using Allocate = void* (*)(size_t alignment, size_t size);

  // std::free() must accept the memory that `allocate` returns. Tests pass
  // their own `allocate`.
  explicit BufferPool(size_t max_bytes,
                      Allocate allocate = &std::aligned_alloc);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // Returns a buffer of `size` bytes. It is empty, with a null data(), for size
  // 0 and if the system has no such memory left.
  Buffer Take(size_t size);

  // Frees all kept buffers.
  void Trim();

  // For tests. Returns the bytes that wait for the next Take().
  size_t pooled_bytes() const;

 private:
  friend class Buffer;
  // Returns null if the pool has no buffer of that capacity. Then it has made
  // room for one.
  std::byte* TakePooled(size_t capacity);
  void FreeKept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Return(std::byte* data, size_t capacity);

  static constexpr size_t kMaxBufferBytes = size_t{1} << 62;
  static constexpr int kClasses = 63;  // class k has capacity 2^k
  const size_t max_bytes_;
  const Allocate allocate_;
  mutable absl::Mutex mu_;
  size_t pooled_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t taken_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // by capacity
  std::array<std::vector<std::byte*>, kClasses> free_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_BUFFER_POOL_H_
