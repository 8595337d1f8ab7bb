// Lends the slots of all devices, each to one user at a time.
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
  // How many batches may be on a device at once. While one computes, the next
  // is copied in and the last one out.
  int slots_per_device = 8;  // D33
  // The limit for each device. Pinned buffers lie on a device's NUMA node, so
  // devices do not share them.
  uint64_t max_pinned_bytes = uint64_t{1} << 30;
  // If false, a device that cannot make its slots is left out, as long as
  // another one can.
  bool need_every_device = true;
};

// A device and its parts, in the order in which they are constructed.
struct DeviceUnit {
  std::unique_ptr<Device> device;
  std::unique_ptr<BatchMemory> memory;
  std::vector<std::unique_ptr<Slot>> slots;
};

// The exclusive use of one slot, which is returned when the lease is destroyed.
// Move-only.
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
  // Returns the device's name, which lives as long as the pool.
  std::string_view device() const;
  // Returns the device's number in the pool.
  int number() const { return static_cast<int>(unit_); }

 private:
  friend class SlotPool;
  SlotLease(SlotPool* pool, size_t unit, Slot* slot)
      : pool_(pool), unit_(unit), slot_(slot) {}
  SlotPool* pool_ = nullptr;
  size_t unit_ = 0;
  Slot* slot_ = nullptr;
};

// Lends a slot of the device with the most free slots, and of those the one
// that came back last. Thread-safe. Must outlive its leases.
class SlotPool {
 public:
  // `devices` must not be empty. Errors: the first failing device's, if every
  // device is needed or none is left.
  static absl::StatusOr<std::unique_ptr<SlotPool>> Create(
      std::vector<std::unique_ptr<Device>> devices,
      const SlotPoolOptions& options);
  ~SlotPool();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // Returns a slot of one of these devices, or of any if `devices` is empty.
  // Waits while all their slots are lent. The lease holds nothing if all of
  // them are retired.
  SlotLease Acquire(std::span<const int> devices = {});
  // For tests. Returns a slot of any device. The lease holds nothing if none is
  // free now.
  SlotLease TryAcquire();

  // Retires the lease's device: none of its slots is lent again, and slots in
  // use are returned as always. Returns how many devices are left, or nothing
  // if the device was already retired.
  std::optional<int> Retire(const SlotLease& lease);

  // Devices are numbered from 0 and keep their numbers when they are retired.
  int device_count() const { return static_cast<int>(units_.size()); }
  Device& device(int number) const {
    return *units_[static_cast<size_t>(number)].device;
  }
  bool retired(int number) const;

  // Returns the names of all devices, including retired ones.
  std::vector<std::string_view> device_names() const;
  int slots_per_device() const { return options_.slots_per_device; }
  int devices_left() const;  // for tests
  int free_slots() const;    // without those of retired devices

 private:
  friend class SlotLease;
  // The slots of a unit that are not lent.
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
