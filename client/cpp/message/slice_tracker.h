// Slices of the caller's memory, and word of when gRPC has dropped them.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_SLICE_TRACKER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_SLICE_TRACKER_H_

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lossd::client {

// Makes slices over memory of the caller and counts those that gRPC still
// holds.
//
// A call that failed may be over while the transport still writes from its
// message, so the status alone does not say that the caller's memory is free.
// The tracker does: every slice counts until gRPC has dropped its last
// reference.
//
// Thread-safe. Slices keep their tracker alive.
class SliceTracker : public std::enable_shared_from_this<SliceTracker> {
 public:
  static std::shared_ptr<SliceTracker> Make() {
    return std::make_shared<SliceTracker>();
  }

  // Returns a slice over `bytes`, which are not copied. Not to be called after
  // AllDroppedOrElse().
  grpc::Slice MakeSlice(std::span<const std::byte> bytes);

  // Returns true if gRPC holds no slice; then `dropped` never runs. Otherwise
  // returns false, and `dropped` runs once, when gRPC drops the last slice, on
  // a thread of gRPC's; it must not block.
  bool AllDroppedOrElse(std::function<void()> dropped);

 private:
  static void OnSliceDropped(void* tracker);

  absl::Mutex mu_;
  int held_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> dropped_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_SLICE_TRACKER_H_
