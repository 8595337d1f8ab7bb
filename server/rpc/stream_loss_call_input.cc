// The part of StreamLossCall that takes messages in.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/call_admission.h"
#include "server/rpc/stream_loss_call.h"

namespace lossd::rpc {

absl::Status StreamLossCall::TakeMessage() {
  if (absl::Status s = message_.Parse(message_buffer_); !s.ok()) return s;
  message_buffer_.Clear();
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

absl::Status StreamLossCall::TakeHeader() {
  if (plan_) {
    return absl::InvalidArgumentError("header: a second one in one stream");
  }
  plan_.emplace();
  if (absl::Status s = plan_->Read(message_.TakeHeader()); !s.ok()) return s;
  // Never more than the whole tensor; as much input again may wait.
  const uint64_t count =
      std::min(plan_->element_count(), kWindowElements * kMaxWindows);
  now_.held = plan_->header_bytes();
  now_.reserved = now_.held + 2 * plan_->ArrivingBytes(count);
  now_.made = plan_->MadeBytes(count);
  const grpc::Status admitted =
      Admit(*call_context_, ChargedBytes(), now_.flow, now_.deadline,
            call_context_->clock->Now(), &*context_, &permit_);
  if (!admitted.ok()) FailWith(admitted);
  return absl::OkStatus();
}

absl::Status StreamLossCall::TakeChunk() {
  if (!plan_) {
    return absl::InvalidArgumentError(
        "chunk: before the header, which is the first message of a stream");
  }
  for (const wire::Field field : wire::kAllFields) {
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
    now_.held += bytes;
    now_.arrived[field] += bytes;
    const uint64_t needed = plan_->ByteSize(field, plan_->element_count());
    if (now_.arrived[field] > needed) {
      return absl::InvalidArgumentError(absl::StrCat(
          "chunk.", Name(field), ": ", now_.arrived[field],
          " bytes so far, but ", plan_->Describe(field), " takes ", needed));
    }
  }
  message_.Clear();
  if (absl::Status s = CheckSkew(); !s.ok()) return s;
  if (ChargedBytes() > permit_.bytes()) {
    const grpc::Status charged = ChargeMore(*call_context_, ChargedBytes(),
                                            now_.flow, &*context_, &permit_);
    if (!charged.ok()) FailWith(charged);
  }
  return absl::OkStatus();
}

// The slowest tensor decides what can be computed; what the others are ahead of
// it is memory that the stream's owner did not ask for.
absl::Status StreamLossCall::CheckSkew() const {
  wire::Field slowest = wire::Field::kLogits;  // always streamed
  uint64_t least = 0;
  for (const wire::Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    const uint64_t elements = plan_->ElementsIn(field, now_.arrived[field]);
    if (field == wire::Field::kLogits || elements < least) {
      slowest = field;
      least = elements;
    }
  }
  for (const wire::Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    const uint64_t elements = plan_->ElementsIn(field, now_.arrived[field]);
    if (elements - least <= kMaxSkewElements) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk: ", elements, " elements of ", Name(field), ", but only ", least,
        " of ", Name(slowest), " have arrived; they may be ", kMaxSkewElements,
        " apart"));
  }
  return absl::OkStatus();
}

absl::Status StreamLossCall::CheckComplete() const {
  if (!plan_) {
    return absl::InvalidArgumentError("header: the stream ended before it");
  }
  for (const wire::Field field : wire::kAllFields) {
    if (!plan_->streamed(field)) continue;
    const uint64_t needed = plan_->ByteSize(field, plan_->element_count());
    if (now_.arrived[field] == needed) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk.", Name(field), ": the stream ended after ", now_.arrived[field],
        " bytes, but ", plan_->Describe(field), " takes ", needed));
  }
  return absl::OkStatus();
}

int64_t StreamLossCall::ChargedBytes() const {
  return static_cast<int64_t>(now_.made + std::max(now_.reserved, now_.held));
}

}  // namespace lossd::rpc
