#include "client/cpp/message/entry_writer.h"

#include <algorithm>
#include <utility>

#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {
namespace {

using Entry = v1::ComputeLossesRequest::Entry;

// All field numbers are below 16, so every tag is one byte.
constexpr char VarintTag(int number) { return static_cast<char>(number << 3); }
constexpr char LengthTag(int number) {
  return static_cast<char>(number << 3 | 2);
}

// The fields of google.protobuf.Duration.
constexpr int kSecondsField = 1;
constexpr int kNanosField = 2;
// The most seconds that a Duration may have.
constexpr int64_t kMaxSeconds = 315'576'000'000;

// Returns the field `timeout` of an entry, or no bytes for an infinite one.
std::string TimeoutField(absl::Duration timeout) {
  std::string field;
  if (timeout >= absl::Seconds(kMaxSeconds)) return field;
  const absl::Duration rounded =
      absl::Ceil(std::max(timeout, absl::ZeroDuration()), absl::Nanoseconds(1));
  absl::Duration rest;
  const int64_t seconds = absl::IDivDuration(rounded, absl::Seconds(1), &rest);
  const int64_t nanos = absl::ToInt64Nanoseconds(rest);
  std::string duration;
  if (seconds != 0) {
    duration += VarintTag(kSecondsField);
    AppendVarint(static_cast<uint64_t>(seconds), &duration);
  }
  if (nanos != 0) {
    duration += VarintTag(kNanosField);
    AppendVarint(static_cast<uint64_t>(nanos), &duration);
  }
  field += LengthTag(Entry::kTimeoutFieldNumber);
  AppendVarint(duration.size(), &field);
  return field + duration;
}

}  // namespace

void EntryWriter::Add(uint64_t id, MessagePieces request,
                      absl::Duration timeout) {
  const std::string timeout_field = TimeoutField(timeout);
  const size_t size = request.bytes();
  small_ += LengthTag(v1::ComputeLossesRequest::kEntriesFieldNumber);
  AppendVarint(
      1 + VarintSize(id) + 1 + VarintSize(size) + size + timeout_field.size(),
      &small_);
  small_ += VarintTag(Entry::kIdFieldNumber);
  AppendVarint(id, &small_);
  small_ += LengthTag(Entry::kRequestFieldNumber);
  AppendVarint(size, &small_);
  if (!request.slices.empty()) CloseSmall();
  for (grpc::Slice& slice : request.slices) {
    sliced_bytes_ += slice.size();
    slices_.push_back(std::move(slice));
  }
  small_ += request.tail;
  small_ += timeout_field;
  ++entries_;
}

grpc::ByteBuffer EntryWriter::Finish() {
  CloseSmall();
  grpc::ByteBuffer message(slices_.data(), slices_.size());
  slices_.clear();
  sliced_bytes_ = 0;
  entries_ = 0;
  return message;
}

void EntryWriter::CloseSmall() {
  if (small_.empty()) return;
  sliced_bytes_ += small_.size();
  slices_.emplace_back(small_);
  small_.clear();
}

}  // namespace lossd::client
