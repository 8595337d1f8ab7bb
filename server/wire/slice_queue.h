// Holds bytes that have arrived and wait to be used.
#ifndef LOSSD_SERVER_WIRE_SLICE_QUEUE_H_
#define LOSSD_SERVER_WIRE_SLICE_QUEUE_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <deque>
#include <vector>

namespace lossd::wire {

// A first-in, first-out queue of bytes. It shares the memory of the slices that
// it is given instead of copying them. Only neighbours of at most 1 KiB
// together are copied into one slice, because a slice takes memory of its own
// and clients choose how few bytes they send at once. Not thread-safe.
class SliceQueue {
 public:
  // The number of bytes in the queue.
  uint64_t bytes() const { return bytes_; }

  void Append(grpc::Slice slice);

  // Moves the first `count` bytes, at most bytes(), to the end of `out`.
  void Take(uint64_t count, std::vector<grpc::Slice>* out);

  void Clear();

 private:
  // No slice is empty.
  std::deque<grpc::Slice> slices_;
  uint64_t bytes_ = 0;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_SLICE_QUEUE_H_
