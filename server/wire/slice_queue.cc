#include "server/wire/slice_queue.h"

#include <string>
#include <utility>

namespace lossd::wire {
namespace {

// Two slices of at most this many bytes together are copied into one. A slice
// and its piece take 48 bytes, so slices of one byte would take 48 times the
// memory that their client is charged for.
constexpr size_t kJoinedBytes = 1024;

grpc::Slice Joined(const grpc::Slice& a, const grpc::Slice& b) {
  std::string bytes(a.begin(), a.end());
  bytes.append(b.begin(), b.end());
  return grpc::Slice(bytes);
}

}  // namespace

void SliceQueue::Append(grpc::Slice slice) {
  if (slice.size() == 0) return;
  bytes_ += slice.size();
  if (!slices_.empty() &&
      slices_.back().size() + slice.size() <= kJoinedBytes) {
    slices_.back() = Joined(slices_.back(), slice);
    return;
  }
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

}  // namespace lossd::wire
