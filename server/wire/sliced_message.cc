#include "server/wire/sliced_message.h"

#include <utility>

namespace lossd::wire {

void SlicedMessage::AddSlice(grpc::Slice slice) {
  EndTail();
  sliced_bytes_ += slice.size();
  slices_.push_back(std::move(slice));
}

void SlicedMessage::Prepend(absl::string_view bytes) {
  if (slices_.empty()) {
    tail_.insert(0, bytes.data(), bytes.size());
    return;
  }
  slices_.insert(slices_.begin(), grpc::Slice(bytes.data(), bytes.size()));
  sliced_bytes_ += bytes.size();
}

void SlicedMessage::Append(SlicedMessage message) {
  if (message.slices_.empty()) {
    tail_ += message.tail_;
    return;
  }
  EndTail();
  for (grpc::Slice& slice : message.slices_) AddSlice(std::move(slice));
  tail_ = std::move(message.tail_);
}

grpc::ByteBuffer SlicedMessage::Finish() {
  EndTail();
  grpc::ByteBuffer message(slices_.data(), slices_.size());
  slices_.clear();
  sliced_bytes_ = 0;
  return message;
}

void SlicedMessage::EndTail() {
  if (tail_.empty()) return;
  sliced_bytes_ += tail_.size();
  slices_.push_back(grpc::Slice(tail_));
  tail_.clear();
}

}  // namespace lossd::wire
