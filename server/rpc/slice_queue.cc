#include "server/rpc/slice_queue.h"

#include <utility>

namespace lossd::rpc {

void SliceQueue::Append(grpc::Slice slice) {
  if (slice.size() == 0) return;
  bytes_ += slice.size();
  slices_.push_back(std::move(slice));
}

void SliceQueue::Take(uint64_t count, std::vector<grpc::Slice>* out) {
  bytes_ -= count;
  while (count > 0) {
    grpc::Slice& front = slices_.front();
    const size_t size = front.size();
    if (size > count) {
      out->push_back(front.sub(0, count));
      front = front.sub(count, size);
      return;
    }
    count -= size;
    out->push_back(std::move(front));
    slices_.pop_front();
  }
}

void SliceQueue::Clear() {
  slices_.clear();
  bytes_ = 0;
}

}  // namespace lossd::rpc
