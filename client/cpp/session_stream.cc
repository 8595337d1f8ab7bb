#include "client/cpp/session_stream.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <limits>
#include <utility>

#include "client/cpp/call_status.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {
namespace {

constexpr char kGetServerInfo[] = "/lossd.v1.LossService/GetServerInfo";
constexpr char kComputeLosses[] = "/lossd.v1.LossService/ComputeLosses";

// Returns the limit that a GetServerInfoResponse names, or 0.
int64_t LimitIn(grpc::ByteBuffer reply) {
  v1::GetServerInfoResponse info;
  grpc::ProtoBufferReader reader(&reply);
  return info.ParseFromZeroCopyStream(&reader) ? info.max_message_bytes() : 0;
}

}  // namespace

SessionStream::SessionStream(std::shared_ptr<grpc::Channel> channel,
                             const Caller& caller, bool wait_for_ready,
                             grpc::CompletionQueue* queue, const Tags& tags)
    : channel_(std::move(channel)),
      queue_(queue),
      tags_(tags),
      greeting_(std::make_unique<Call>(
          CallOptions{.wait_for_ready = wait_for_ready}, caller)),
      max_message_bytes_(std::numeric_limits<int64_t>::max()),
      context_(MakeContext({.wait_for_ready = wait_for_ready}, caller)) {
  // The headers then leave with the first message, and StartCall() has no tag.
  context_->set_initial_metadata_corked(true);
  const grpc::Slice empty;
  greeting_->Start(channel_, kGetServerInfo, grpc::ByteBuffer(&empty, 1),
                   *queue_, tags_.greeted);
}

absl::Status SessionStream::TakeGreeting() {
  absl::StatusOr<grpc::ByteBuffer> reply = greeting_->Take();
  greeting_ = nullptr;
  if (!reply.ok()) {
    return absl::IsUnavailable(reply.status()) ? reply.status()
                                               : absl::OkStatus();
  }
  if (const int64_t limit = LimitIn(*std::move(reply)); limit > 0) {
    max_message_bytes_ = limit;
  }
  return absl::OkStatus();
}

void SessionStream::Open() {
  call_ = grpc::GenericStub(channel_).PrepareCall(context_.get(),
                                                  kComputeLosses, queue_);
  call_->StartCall(nullptr);
}

void SessionStream::Cancel() {
  if (greeting_ != nullptr) return greeting_->Cancel();
  context_->TryCancel();
}

grpc::ByteBuffer SessionStream::TakeMessage() {
  grpc::ByteBuffer message;
  message.Swap(&message_);
  return message;
}

absl::Status SessionStream::status() const {
  return CallStatus(status_, *context_);
}

}  // namespace lossd::client
