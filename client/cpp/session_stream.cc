#include "client/cpp/session_stream.h"

#include "client/cpp/call.h"
#include "client/cpp/call_status.h"

namespace lossd::client {
namespace {

constexpr char kComputeLosses[] = "/lossd.v1.LossService/ComputeLosses";

}  // namespace

SessionStream::SessionStream(const std::shared_ptr<grpc::Channel>& channel,
                             const std::string& token, bool wait_for_ready,
                             grpc::CompletionQueue* queue, const Tags& tags)
    : tags_(tags),
      context_(MakeContext({.wait_for_ready = wait_for_ready}, token)) {
  // The headers then leave with the first message, and StartCall() has no tag.
  context_->set_initial_metadata_corked(true);
  call_ = grpc::GenericStub(channel).PrepareCall(context_.get(), kComputeLosses,
                                                 queue);
  call_->StartCall(nullptr);
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
