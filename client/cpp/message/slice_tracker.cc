#include "client/cpp/message/slice_tracker.h"

#include <utility>

namespace lossd::client {

grpc::Slice SliceTracker::MakeSlice(std::span<const std::byte> bytes) {
  {
    absl::MutexLock lock(&mu_);
    ++held_;
  }
  // gRPC only reads a message that it sends. Slices are not const because they
  // can also receive.
  void* memory = const_cast<std::byte*>(bytes.data());
  // The slice owns a reference to this tracker; OnSliceDropped() takes it back.
  auto self =
      std::make_unique<std::shared_ptr<SliceTracker>>(shared_from_this());
  return grpc::Slice(memory, bytes.size(), &SliceTracker::OnSliceDropped,
                     self.release());
}

void SliceTracker::OnSliceDropped(void* tracker) {
  const std::unique_ptr<std::shared_ptr<SliceTracker>> self(
      static_cast<std::shared_ptr<SliceTracker>*>(tracker));
  std::function<void()> dropped;
  {
    absl::MutexLock lock(&(*self)->mu_);
    if (--(*self)->held_ == 0) dropped = std::move((*self)->dropped_);
  }
  if (dropped) dropped();
}

bool SliceTracker::AllDroppedOrElse(std::function<void()> dropped) {
  absl::MutexLock lock(&mu_);
  if (held_ == 0) return true;
  dropped_ = std::move(dropped);
  return false;
}

}  // namespace lossd::client
