// The slots of one device, lent to one user at a time.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_SLOT_POOL_H_
#define LOSSD_SERVER_EXECUTION_CUDA_SLOT_POOL_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/execution/cuda/slot.h"

namespace lossd::execution::cuda {

class SlotPool;

// The use of one slot, exclusively; gives it back when destroyed. Move-only.
class SlotLease {
 public:
  SlotLease() = default;
  SlotLease(SlotLease&& other) noexcept { *this = std::move(other); }
  SlotLease& operator=(SlotLease&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~SlotLease();

  bool held() const { return slot_ != nullptr; }
  Slot* operator->() const { return slot_; }

 private:
  friend class SlotPool;
  SlotLease(SlotPool* pool, Slot* slot) : pool_(pool), slot_(slot) {}
  SlotPool* pool_ = nullptr;
  Slot* slot_ = nullptr;
};

// The slot that came back last is lent first: its buffers are the likeliest to
// have grown. Thread-safe. Outlives its leases.
class SlotPool {
 public:
  // `device` is borrowed; `slots` >= 1.
  static absl::StatusOr<std::unique_ptr<SlotPool>> Create(Device& device,
                                                          int slots);
  ~SlotPool();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // A lease; waits while all slots are lent. Nothing held after Close().
  SlotLease Acquire();
  // A lease, or nothing held if none is free now.
  SlotLease TryAcquire();

  // Ends the waiting, for good: no more leases. Those out stay good.
  void Close();

  int free_slots() const;

 private:
  friend class SlotLease;
  explicit SlotPool(std::vector<std::unique_ptr<Slot>> slots);
  bool FreeOrClosed() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return closed_ || !free_.empty();
  }
  SlotLease Lend() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Return(Slot* slot);

  const std::vector<std::unique_ptr<Slot>> slots_;
  mutable absl::Mutex mu_;
  std::vector<Slot*> free_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_SLOT_POOL_H_
