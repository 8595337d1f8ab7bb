#include "client/cpp/session_stream.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "base/stream_header.h"
#include "client/cpp/call.h"
#include "client/cpp/call_status.h"

namespace lossd::client {
namespace {

constexpr char kComputeLosses[] = "/lossd.v1.LossService/ComputeLosses";

}  // namespace

SessionStream::SessionStream(uint64_t number_of_stream,
                             const std::shared_ptr<grpc::Channel>& channel,
                             const Caller& caller, bool wait_for_ready,
                             grpc::CompletionQueue* queue)
    : number(number_of_stream),
      max_message_bytes(std::numeric_limits<int64_t>::max()),
      context_(MakeContext({.wait_for_ready = wait_for_ready}, caller)),
      call_(grpc::GenericStub(channel).PrepareCall(context_.get(),
                                                   kComputeLosses, queue)) {
  call_->StartCall(&asked_);
  call_->ReadInitialMetadata(&greeted_);
}

void SessionStream::TakeGreeting() {
  const auto& headers = context_->GetServerInitialMetadata();
  const auto found = headers.find(kMaxMessageBytesKey);
  if (found == headers.end()) return;
  int64_t bytes = 0;
  const absl::string_view text(found->second.data(), found->second.size());
  if (absl::SimpleAtoi(text, &bytes) && bytes > 0) max_message_bytes = bytes;
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
