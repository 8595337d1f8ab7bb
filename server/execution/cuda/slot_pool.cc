#include "server/execution/cuda/slot_pool.h"

namespace lossd::execution::cuda {

SlotLease::~SlotLease() {
  if (slot_ != nullptr) pool_->Return(slot_);
}

absl::StatusOr<std::unique_ptr<SlotPool>> SlotPool::Create(Device& device,
                                                           int slots) {
  std::vector<std::unique_ptr<Slot>> created;
  for (int k = 0; k < slots; ++k) {
    absl::StatusOr<std::unique_ptr<Slot>> slot = Slot::Create(device);
    if (!slot.ok()) return std::move(slot).status();
    created.push_back(*std::move(slot));
  }
  return std::unique_ptr<SlotPool>(new SlotPool(std::move(created)));
}

SlotPool::SlotPool(std::vector<std::unique_ptr<Slot>> slots)
    : slots_(std::move(slots)) {
  for (const std::unique_ptr<Slot>& slot : slots_) free_.push_back(slot.get());
}

SlotPool::~SlotPool() = default;

SlotLease SlotPool::Acquire() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &SlotPool::FreeOrClosed));
  return Lend();
}

SlotLease SlotPool::TryAcquire() {
  absl::MutexLock lock(&mu_);
  return Lend();
}

SlotLease SlotPool::Lend() {
  if (closed_ || free_.empty()) return {};
  Slot* slot = free_.back();
  free_.pop_back();
  return SlotLease(this, slot);
}

void SlotPool::Return(Slot* slot) {
  absl::MutexLock lock(&mu_);
  free_.push_back(slot);
}

void SlotPool::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

int SlotPool::free_slots() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(free_.size());
}

}  // namespace lossd::execution::cuda
