// Bytes that have arrived and wait, in the slices in which they came.
#ifndef LOSSD_SERVER_WIRE_SLICE_QUEUE_H_
#define LOSSD_SERVER_WIRE_SLICE_QUEUE_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <deque>
#include <vector>

namespace lossd::wire {

// First in, first out. Bytes are shared, not copied; but small slices become
// one with their neighbour, as a slice costs memory of its own, and clients
// choose how little comes at once. Not thread-safe.
class SliceQueue {
 public:
  uint64_t bytes() const { return bytes_; }

  void Append(grpc::Slice slice);

  // Moves the first `count` bytes, at most bytes(), to the end of `out`.
  void Take(uint64_t count, std::vector<grpc::Slice>* out);

  void Clear();

 private:
  // None is empty, and small ones that came in a row are one.
  std::deque<grpc::Slice> slices_;
  uint64_t bytes_ = 0;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_SLICE_QUEUE_H_
