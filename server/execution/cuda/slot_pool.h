// The slots of all devices, lent to one user at a time.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_SLOT_POOL_H_
#define LOSSD_SERVER_EXECUTION_CUDA_SLOT_POOL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/execution/cuda/device.h"
#include "server/execution/cuda/slot.h"

namespace lossd::execution::cuda {

class SlotPool;

struct SlotPoolOptions {
  // Batches that may be on a device at once: while one computes, the next is
  // copied in and the last one out.
  int slots_per_device = 4;
  // Of each device: they are near to it, so they are not shared.
  uint64_t max_pinned_bytes = uint64_t{1} << 30;
  // False: a device that cannot make its slots is left out, as long as another
  // can.
  bool need_every_device = true;
};

// A device and what belongs to it, in the order in which it comes and goes.
struct DeviceUnit {
  std::unique_ptr<Device> device;
  std::unique_ptr<BatchMemory> memory;
  std::vector<std::unique_ptr<Slot>> slots;
};

// The use of one slot, exclusively; gives it back when destroyed. Move-only.
class SlotLease {
 public:
  SlotLease() = default;
  SlotLease(SlotLease&& other) noexcept { *this = std::move(other); }
  SlotLease& operator=(SlotLease&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(unit_, other.unit_);
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~SlotLease();

  bool held() const { return slot_ != nullptr; }
  Slot* operator->() const { return slot_; }
  // The device's name; lives as long as the pool.
  std::string_view device() const;
  // The device's number in the pool.
  int number() const { return static_cast<int>(unit_); }

 private:
  friend class SlotPool;
  SlotLease(SlotPool* pool, size_t unit, Slot* slot)
      : pool_(pool), unit_(unit), slot_(slot) {}
  SlotPool* pool_ = nullptr;
  size_t unit_ = 0;
  Slot* slot_ = nullptr;
};

// Lends a slot of the device that is used least, until that device is retired.
// Of one device's, the slot that came back last. Thread-safe. Outlives its
// leases.
class SlotPool {
 public:
  // `devices` is not empty. What the first device said that failed, if all are
  // needed or none is left.
  static absl::StatusOr<std::unique_ptr<SlotPool>> Create(
      std::vector<std::unique_ptr<Device>> devices,
      const SlotPoolOptions& options);
  ~SlotPool();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // A lease of a slot of one of these devices, by their numbers, or of any
  // where none is named; waits while all of them are lent. Nothing held once
  // none of the devices is left.
  SlotLease Acquire(std::span<const int> devices = {});
  // A lease, or nothing held if none is free now.
  SlotLease TryAcquire();

  // No slot of the lease's device is lent again; those that are out come back
  // as always. How many devices are left then; nothing if somebody has retired
  // it before.
  std::optional<int> Retire(const SlotLease& lease);

  // Devices are numbered from 0, and keep their numbers; retired ones too.
  int device_count() const { return static_cast<int>(units_.size()); }
  Device& device(int number) const {
    return *units_[static_cast<size_t>(number)].device;
  }
  bool retired(int number) const;

  // The names of all devices, retired ones included.
  std::vector<std::string_view> device_names() const;
  int slots_per_device() const { return options_.slots_per_device; }
  int devices_left() const;
  int free_slots() const;  // of the devices that are left

 private:
  friend class SlotLease;
  // What may be lent of a unit.
  struct Stock {
    std::vector<Slot*> free;
    bool retired = false;
    size_t offered() const { return retired ? 0 : free.size(); }
  };

  SlotPool(std::vector<DeviceUnit> units, const SlotPoolOptions& options);
  bool FreeOrNoneLeft(std::span<const int> devices) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  SlotLease Lend(std::span<const int> devices)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Return(size_t unit, Slot* slot);

  const SlotPoolOptions options_;
  const std::vector<DeviceUnit> units_;
  mutable absl::Mutex mu_;
  std::vector<Stock> stocks_ ABSL_GUARDED_BY(mu_);  // one for each unit
  int devices_left_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_SLOT_POOL_H_
