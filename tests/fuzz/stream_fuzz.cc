// The messages of a stream are read as the generated parser reads them, and the
// windows that a stream of them asks for keep to their memory.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/request/stream_plan.h"
#include "server/request/window_maker.h"
#include "server/wire/slice_queue.h"
#include "server/wire/stream_message.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/segment_check.h"
#include "tests/fuzz/sequence.h"

namespace lossd::fuzz {
namespace {

using Message = v1::StreamLossRequest;
using wire::Field;

// Windows are small, so that short inputs have several.
constexpr uint64_t kWindow = kernels::kBlockElements;

void SetBytes(Field field, std::string bytes, v1::StreamLossChunk* chunk) {
  switch (field) {
    case Field::kLogits:
      return chunk->set_logits(std::move(bytes));
    case Field::kTargets:
      return chunk->set_targets(std::move(bytes));
    case Field::kWeights:
      return chunk->set_weights(std::move(bytes));
    case Field::kPosWeight:
      return chunk->set_pos_weight(std::move(bytes));
    case Field::kUpstreamGradient:
      return chunk->set_upstream_gradient(std::move(bytes));
  }
}

// Returns the message that was read, with the tensors' bytes put back.
Message Restored(wire::StreamMessage& read) {
  Message message = read.message();
  for (const Field field : wire::kAllFields) {
    std::string bytes;
    for (const grpc::Slice& slice : read.data(field)) {
      bytes.append(slice.begin(), slice.end());
    }
    if (bytes.empty()) continue;
    if (!message.has_chunk()) Fail("bytes of a message that has no chunk");
    SetBytes(field, std::move(bytes), message.mutable_chunk());
  }
  return message;
}

// Returns false if both parsers refuse the message.
bool ParseAsGenerated(const Input& input, wire::StreamMessage& read) {
  Message generated;
  const bool accepted = generated.ParseFromArray(
      input.message().data(), static_cast<int>(input.message().size()));
  const absl::Status status = read.Parse(input.Buffer());
  if (status.ok() != accepted) {
    Fail(absl::StrCat("the generated parser ", accepted ? "accepts" : "rejects",
                      " it, ours says ", status.ToString()));
  }
  if (!accepted) {
    if (!absl::IsInvalidArgument(status)) Fail(status.ToString());
    return false;
  }
  // Unknown fields may be lost, because nothing uses them.
  generated.DiscardUnknownFields();
  Message ours = Restored(read);
  ours.DiscardUnknownFields();
  if (ours.SerializeAsString() != generated.SerializeAsString()) {
    Fail(absl::StrCat("the generated parser reads\n", generated.DebugString(),
                      "\nours\n", ours.DebugString()));
  }
  return true;
}

// Handles the messages as a call does, without gRPC.
class Stream {
 public:
  // Returns false if the stream has ended.
  bool Take(wire::StreamMessage& message) {
    if (message.message().has_header()) return TakeHeader(message);
    if (!message.message().has_chunk() || !plan_) return false;
    if (!TakeChunk(message)) return false;
    while (NextIsHere()) {
      if (!ComputeWindow()) return false;
    }
    return true;
  }

 private:
  bool TakeHeader(wire::StreamMessage& message) {
    if (plan_) return false;
    plan_.emplace();
    const absl::Status status = plan_->Read(message.TakeHeader());
    if (status.ok()) return true;
    if (!absl::IsInvalidArgument(status) && !absl::IsUnimplemented(status)) {
      Fail(absl::StrCat("refused as ", status.ToString()));
    }
    if (!absl::StrContains(status.message(), ": ")) {
      Fail(absl::StrCat("no field in: ", status.message()));
    }
    return false;
  }

  bool TakeChunk(wire::StreamMessage& message) {
    for (const Field field : wire::kAllFields) {
      for (grpc::Slice& slice : message.data(field)) {
        arrived_[field] += slice.size();
        queues_[field].Append(std::move(slice));
      }
      if (arrived_[field] == 0) continue;
      if (!plan_->streamed(field)) return false;
      if (arrived_[field] > plan_->ByteSize(field, plan_->element_count())) {
        return false;
      }
    }
    return true;
  }

  uint64_t NextCount() const {
    return std::min(kWindow, plan_->element_count() - next_);
  }
  bool NextIsHere() const {
    const uint64_t count = NextCount();
    for (const Field field : wire::kAllFields) {
      if (plan_->streamed(field) &&
          queues_[field].bytes() < plan_->ByteSize(field, count)) {
        return false;
      }
    }
    return count > 0;
  }

  bool ComputeWindow() {
    const uint64_t count = NextCount();
    request::WindowMemory memory;
    for (const Field field : wire::kAllFields) {
      if (!plan_->streamed(field)) continue;
      queues_[field].Take(plan_->ByteSize(field, count), &memory.slices[field]);
    }
    const absl::StatusOr<kernels::Segment> segment =
        request::WindowMaker(*plan_, pool_).Make(next_, count, &memory);
    if (!segment.ok()) Fail(segment.status().ToString());
    CheckBounds(*segment);
    CheckKernels(*segment,
                 {.gradient = memory.gradient.size(),
                  .second_derivative = memory.second_derivative.size(),
                  .losses = memory.losses.size()});
    next_ += count;
    return true;
  }

  BufferPool pool_{0};
  std::optional<request::StreamPlan> plan_;
  wire::PerField<wire::SliceQueue> queues_;
  wire::PerField<uint64_t> arrived_;
  uint64_t next_ = 0;
};

}  // namespace
}  // namespace lossd::fuzz

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using lossd::fuzz::Input;
  // One object reads all streams, as a call keeps one for its messages.
  static auto& message = *new lossd::wire::StreamMessage();
  const Input input({bytes, size});
  const std::string head(input.head().begin(), input.head().end());
  lossd::fuzz::Stream stream;
  bool open = true;
  for (const std::string_view part : lossd::fuzz::Split(input.message())) {
    // All messages are cut alike.
    const std::string one =
        (head.empty() ? std::string(1, '\0') : head) + std::string(part);
    const Input cut({reinterpret_cast<const uint8_t*>(one.data()), one.size()});
    if (!lossd::fuzz::ParseAsGenerated(cut, message)) open = false;
    if (open) open = stream.Take(message);
  }
  message.Clear();
  return 0;
}
