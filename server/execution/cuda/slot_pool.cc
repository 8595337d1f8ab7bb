#include "server/execution/cuda/slot_pool.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/observability/log.h"

namespace lossd::execution::cuda {
namespace {

absl::StatusOr<DeviceUnit> MakeUnit(std::unique_ptr<Device> device,
                                    const SlotPoolOptions& options) {
  DeviceUnit unit;
  unit.device = std::move(device);
  unit.memory =
      std::make_unique<BatchMemory>(*unit.device, options.max_pinned_bytes);
  for (int k = 0; k < options.slots_per_device; ++k) {
    absl::StatusOr<std::unique_ptr<Slot>> slot =
        Slot::Create(*unit.device, *unit.memory);
    if (!slot.ok()) {
      return absl::Status(slot.status().code(),
                          absl::StrCat(std::string(unit.device->name()), ": ",
                                       slot.status().message()));
    }
    unit.slots.push_back(*std::move(slot));
  }
  return unit;
}

// Returns whether `unit` is one of these devices. An empty list stands for all.
bool IsOneOf(std::span<const int> devices, size_t unit) {
  return devices.empty() || std::find(devices.begin(), devices.end(),
                                      static_cast<int>(unit)) != devices.end();
}

}  // namespace

SlotLease::~SlotLease() {
  if (slot_ != nullptr) pool_->Return(unit_, slot_);
}

std::string_view SlotLease::device() const {
  return pool_->units_[unit_].device->name();
}

absl::StatusOr<std::unique_ptr<SlotPool>> SlotPool::Create(
    std::vector<std::unique_ptr<Device>> devices,
    const SlotPoolOptions& options) {
  std::vector<DeviceUnit> units;
  absl::Status first_error;
  for (std::unique_ptr<Device>& device : devices) {
    absl::StatusOr<DeviceUnit> unit = MakeUnit(std::move(device), options);
    if (unit.ok()) {
      units.push_back(*std::move(unit));
      continue;
    }
    if (options.need_every_device) return unit.status();
    first_error.Update(unit.status());
  }
  if (units.empty()) return first_error;
  if (!first_error.ok()) {
    observability::LogError(absl::StrCat("left out: ", first_error.message()));
  }
  return std::unique_ptr<SlotPool>(new SlotPool(std::move(units), options));
}

SlotPool::SlotPool(std::vector<DeviceUnit> units,
                   const SlotPoolOptions& options)
    : options_(options),
      units_(std::move(units)),
      stocks_(units_.size()),
      devices_left_(static_cast<int>(units_.size())) {
  for (size_t k = 0; k < units_.size(); ++k) {
    for (const auto& slot : units_[k].slots) {
      stocks_[k].free.push_back(slot.get());
    }
  }
}

SlotPool::~SlotPool() = default;

bool SlotPool::FreeOrNoneLeft(std::span<const int> devices) const {
  bool none_left = true;
  for (size_t k = 0; k < stocks_.size(); ++k) {
    if (!IsOneOf(devices, k) || stocks_[k].retired) continue;
    if (stocks_[k].offered() > 0) return true;
    none_left = false;
  }
  return none_left;
}

SlotLease SlotPool::Acquire(std::span<const int> devices) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return FreeOrNoneLeft(devices);
  };
  mu_.Await(absl::Condition(&there));
  return Lend(devices);
}

SlotLease SlotPool::TryAcquire() {
  absl::MutexLock lock(&mu_);
  return Lend({});
}

SlotLease SlotPool::Lend(std::span<const int> devices) {
  size_t most = 0;
  size_t unit = 0;
  for (size_t k = 0; k < stocks_.size(); ++k) {
    if (!IsOneOf(devices, k) || stocks_[k].offered() <= most) continue;
    most = stocks_[k].offered();
    unit = k;
  }
  if (most == 0) return {};
  Slot* slot = stocks_[unit].free.back();
  stocks_[unit].free.pop_back();
  return SlotLease(this, unit, slot);
}

void SlotPool::Return(size_t unit, Slot* slot) {
  absl::MutexLock lock(&mu_);
  stocks_[unit].free.push_back(slot);
}

std::optional<int> SlotPool::Retire(const SlotLease& lease) {
  absl::MutexLock lock(&mu_);
  if (std::exchange(stocks_[lease.unit_].retired, true)) return std::nullopt;
  return --devices_left_;
}

bool SlotPool::retired(int number) const {
  absl::MutexLock lock(&mu_);
  return stocks_[static_cast<size_t>(number)].retired;
}

std::vector<std::string_view> SlotPool::device_names() const {
  std::vector<std::string_view> names;
  for (const DeviceUnit& unit : units_) names.push_back(unit.device->name());
  return names;
}

int SlotPool::devices_left() const {
  absl::MutexLock lock(&mu_);
  return devices_left_;
}

int SlotPool::free_slots() const {
  absl::MutexLock lock(&mu_);
  size_t free = 0;
  for (const Stock& stock : stocks_) free += stock.offered();
  return static_cast<int>(free);
}

}  // namespace lossd::execution::cuda
