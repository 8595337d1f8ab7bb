#include "server/rpc/stream_input.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"

namespace lossd::rpc {

using wire::Field;

absl::Status StreamInput::Take(const grpc::ByteBuffer& message) {
  RETURN_IF_ERROR(message_.Parse(message));
  switch (message_.message().part_case()) {
    case v1::StreamLossRequest::kHeader:
      return TakeHeader();
    case v1::StreamLossRequest::kChunk:
      return TakeChunk();
    default:
      return absl::InvalidArgumentError(
          "request: neither a header nor a chunk");
  }
}

absl::Status StreamInput::TakeHeader() {
  if (plan_) {
    return absl::InvalidArgumentError("header: a second one in one stream");
  }
  plan_.emplace();
  RETURN_IF_ERROR(plan_->Read(message_.TakeHeader()));
  header_bytes_ = plan_->header_bytes();
  return absl::OkStatus();
}

absl::Status StreamInput::TakeChunk() {
  if (!plan_) {
    return absl::InvalidArgumentError(
        "chunk: before the header, which is the first message of a stream");
  }
  for (const Field field : wire::kAllFields) {
    uint64_t bytes = 0;
    for (grpc::Slice& slice : message_.data(field)) {
      bytes += slice.size();
      queues_[field].Append(std::move(slice));
    }
    if (bytes == 0) continue;
    if (!plan_->streamed(field)) {
      return absl::InvalidArgumentError(
          absl::StrCat("chunk.", Name(field), ": ", bytes,
                       " bytes, but the header says that it does not come in "
                       "chunks"));
    }
    arrived_[field] += bytes;
    const uint64_t needed = plan_->ByteSize(field, plan_->element_count());
    if (arrived_[field] > needed) {
      return absl::InvalidArgumentError(absl::StrCat(
          "chunk.", Name(field), ": ", arrived_[field], " bytes so far, but ",
          plan_->Describe(field), " takes ", needed));
    }
  }
  message_.Clear();
  return CheckSkew();
}

// The slowest tensor decides what can be computed. The bytes by which another
// is ahead of it are memory that nobody reserved.
absl::Status StreamInput::CheckSkew() const {
  Field slowest = Field::kLogits;  // which always come in chunks
  uint64_t least = plan_->ElementsIn(slowest, arrived_[slowest]);
  for (const Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    const uint64_t elements = plan_->ElementsIn(field, arrived_[field]);
    if (elements >= least) continue;
    slowest = field;
    least = elements;
  }
  for (const Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    const uint64_t elements = plan_->ElementsIn(field, arrived_[field]);
    if (elements - least <= kMaxSkewElements) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk: ", elements, " elements of ", Name(field), ", but only ", least,
        " of ", Name(slowest), " have arrived; they may be ", kMaxSkewElements,
        " apart"));
  }
  return absl::OkStatus();
}

absl::Status StreamInput::CheckComplete() const {
  if (!plan_) {
    return absl::InvalidArgumentError("header: the stream ended before it");
  }
  for (const Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    const uint64_t needed = plan_->ByteSize(field, plan_->element_count());
    if (arrived_[field] == needed) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk.", Name(field), ": the stream ended after ", arrived_[field],
        " bytes, but ", plan_->Describe(field), " takes ", needed));
  }
  return absl::OkStatus();
}

uint64_t StreamInput::NextCount() const {
  return std::min(kWindowElements, plan_->element_count() - next_element_);
}

bool StreamInput::HasWindow() const {
  const uint64_t count = NextCount();
  if (count == 0) return false;
  return std::ranges::all_of(wire::kAllFields, [&](Field field) {
    return !plan_->streamed(field) ||
           queues_[field].bytes() >= plan_->ByteSize(field, count);
  });
}

uint64_t StreamInput::TakeWindow(StreamWindow* window) {
  const uint64_t count = NextCount();
  for (const Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    queues_[field].Take(plan_->ByteSize(field, count),
                        &window->memory.slices[field]);
  }
  window->first_element = next_element_;
  window->input_bytes = plan_->ArrivingBytes(count);
  next_element_ += count;
  return count;
}

uint64_t StreamInput::queued_bytes() const {
  uint64_t bytes = 0;
  for (const wire::SliceQueue& queue : queues_) bytes += queue.bytes();
  return bytes;
}

void StreamInput::Clear() {
  message_.Clear();
  plan_.reset();
  for (wire::SliceQueue& queue : queues_) queue.Clear();
  arrived_ = {};
  header_bytes_ = 0;
  next_element_ = 0;
}

}  // namespace lossd::rpc
