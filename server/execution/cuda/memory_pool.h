// Lends memory to batches while they are on a device.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_MEMORY_POOL_H_
#define LOSSD_SERVER_EXECUTION_CUDA_MEMORY_POOL_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/base/status_macros.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

// Lends buffers of one kind of memory, PinnedMemory or DeviceMemory, and keeps
// returned buffers, because allocating takes milliseconds and a batch less.
// Buffers belong to the pool and not to slots, so that one huge batch does not
// leave every slot with a huge buffer (D35).
//
// Lent and kept buffers are at most `max_bytes` together. A caller that asks
// for more than is left waits until others return theirs, first come, first
// served. Kept buffers are freed to make room, and all of them if the device is
// out of memory. A buffer that the device fails to free is kept like any other,
// unless the device is lost: then none is lent again.
//
// Thread-safe; calls no device under its lock. Must outlive its leases.
template <typename Memory>
class MemoryPool {  // D35
 public:
  using Allocate = std::function<absl::StatusOr<Memory>(size_t bytes)>;
  using Free = std::function<absl::Status(Memory memory)>;

  // The exclusive use of one buffer, which is returned when the lease is
  // destroyed. Move-only.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(memory_, other.memory_);
      return *this;
    }
    ~Lease() {
      if (pool_ != nullptr) pool_->Return(memory_);
    }
    const Memory& memory() const { return memory_; }

    // Gives the buffer up because the device is lost and may still use it. It
    // is freed when the pool is destroyed, and no other buffer is lent before.
    void Forfeit() { std::exchange(pool_, nullptr)->Retain(memory_); }

   private:
    friend class MemoryPool;
    Lease(MemoryPool* pool, Memory memory) : pool_(pool), memory_(memory) {}
    MemoryPool* pool_ = nullptr;
    Memory memory_;
  };

  MemoryPool(uint64_t max_bytes, Allocate allocate, Free free)
      : max_bytes_(max_bytes),
        allocate_(std::move(allocate)),
        free_(std::move(free)) {}
  ~MemoryPool() {
    absl::MutexLock lock(&mu_);
    for (const auto& kept : kept_) {
      GiveBack([this, &kept] { return free_(kept.second); });
    }
    for (const Memory& memory : forfeited_) {
      GiveBack([this, &memory] { return free_(memory); });
    }
  }
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // Returns a buffer of at least `bytes` bytes. Errors: OUT_OF_RANGE if that is
  // above the pool's limit, UNAVAILABLE once a buffer was forfeited, or the
  // device's error, RESOURCE_EXHAUSTED if it has no memory left.
  absl::StatusOr<Lease> Acquire(size_t bytes) {
    if (bytes > max_bytes_) {
      return absl::OutOfRangeError(absl::StrCat(
          "a buffer of ", bytes, " bytes: the limit is ", max_bytes_));
    }
    const size_t size = SizeFor(bytes);
    absl::StatusOr<Grant> grant = AwaitTurn(bytes, size);
    if (!grant.ok()) return grant.status();
    if (grant->kept) return Lease(this, *grant->kept);
    absl::StatusOr<Memory> made = Make(size, std::move(grant->evicted));
    if (made.ok()) return Lease(this, *made);
    absl::MutexLock lock(&mu_);
    lent_bytes_ -= size;
    return std::move(made).status();
  }

  // Frees all kept buffers. Errors: NOT_FOUND if none is kept, or the device's.
  absl::Status Trim() {
    std::vector<Memory> unused;
    {
      absl::MutexLock lock(&mu_);
      unused = TakeKept(0);
    }
    if (unused.empty()) return absl::NotFoundError("nothing is kept");
    return FreeAll(std::move(unused));
  }

  // Returns the size of all buffers, lent and kept.
  uint64_t bytes() const {
    absl::MutexLock lock(&mu_);
    return lent_bytes_ + kept_bytes_;
  }

 private:
  using Kept = std::multimap<size_t, Memory>;

  // Sizes are powers of two, so that a buffer fits more batches than the first.
  size_t SizeFor(size_t bytes) const {
    constexpr size_t smallest = size_t{1} << 16;
    const size_t size = std::bit_ceil(std::max(bytes, smallest));
    return size <= max_bytes_ ? size : bytes;
  }

  // Finds the smallest kept buffer of at least `bytes`, unless it is far larger
  // than `size`: others may be waiting for those.
  typename Kept::iterator Fitting(size_t bytes, size_t size)
      ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    const auto found = kept_.lower_bound(bytes);
    return found != kept_.end() && found->first / 4 <= size ? found
                                                            : kept_.end();
  }

  // A kept buffer, or room for a new one once `evicted` are freed.
  struct Grant {
    std::optional<Memory> kept;
    std::vector<Memory> evicted;
  };
  // Waits until it is this thread's turn and there is a buffer or room for one.
  // Errors: UNAVAILABLE if the device is lost.
  absl::StatusOr<Grant> AwaitTurn(size_t bytes, size_t size) {
    absl::MutexLock lock(&mu_);
    const uint64_t turn = next_turn_++;
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return turn_ == turn &&
             (!forfeited_.empty() || lent_bytes_ + size <= max_bytes_ ||
              Fitting(bytes, size) != kept_.end());
    };
    mu_.Await(absl::Condition(&there));
    ++turn_;
    if (!forfeited_.empty()) {
      return absl::UnavailableError("the device is lost");
    }
    if (const auto found = Fitting(bytes, size); found != kept_.end()) {
      Grant grant{.kept = found->second, .evicted = {}};
      kept_bytes_ -= found->first;
      lent_bytes_ += found->first;
      kept_.erase(found);
      return grant;
    }
    lent_bytes_ += size;
    return Grant{.kept = {}, .evicted = TakeKept(max_bytes_ - lent_bytes_)};
  }

  absl::StatusOr<Memory> Make(size_t size, std::vector<Memory> evicted) {
    RETURN_IF_ERROR(FreeAll(std::move(evicted)));
    absl::StatusOr<Memory> made = allocate_(size);
    if (absl::IsResourceExhausted(made.status()) && Trim().ok()) {
      made = allocate_(size);
    }
    return made;
  }

  // Takes kept buffers out, largest first, until `most` bytes are left.
  std::vector<Memory> TakeKept(uint64_t most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::vector<Memory> taken;
    while (kept_bytes_ > most) {
      const auto largest = std::prev(kept_.end());
      kept_bytes_ -= largest->first;
      taken.push_back(largest->second);
      kept_.erase(largest);
    }
    return taken;
  }

  // Returns the first error. A buffer that could not be freed is kept, or
  // forfeited if the device is lost.
  absl::Status FreeAll(std::vector<Memory> unused) {
    absl::Status status;
    for (const Memory& memory : unused) {
      const absl::Status freed = free_(memory);
      status.Update(freed);
      if (freed.ok()) continue;
      IsSticky(freed) ? Retain(memory) : Keep(memory);
    }
    return status;
  }

  void Return(const Memory& memory) {
    absl::MutexLock lock(&mu_);
    lent_bytes_ -= memory.size;
    KeepLocked(memory);
  }
  void Retain(const Memory& memory) {
    absl::MutexLock lock(&mu_);
    forfeited_.push_back(memory);
  }
  void Keep(const Memory& memory) {
    absl::MutexLock lock(&mu_);
    KeepLocked(memory);
  }
  void KeepLocked(const Memory& memory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    kept_bytes_ += memory.size;
    kept_.emplace(memory.size, memory);
  }

  const uint64_t max_bytes_;
  const Allocate allocate_;
  const Free free_;
  mutable absl::Mutex mu_;
  Kept kept_ ABSL_GUARDED_BY(mu_);
  std::vector<Memory> forfeited_ ABSL_GUARDED_BY(mu_);
  uint64_t kept_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t lent_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_turn_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t turn_ ABSL_GUARDED_BY(mu_) = 0;  // the one that is served now
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_MEMORY_POOL_H_
