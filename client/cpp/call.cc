#include "client/cpp/call.h"

#include <grpcpp/generic/generic_stub.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/call_status.h"
#include "client/cpp/message/reply_reader.h"

namespace lossd::client {

absl::Status CheckCallOptions(const CallOptions& options) {
  return std::ranges::all_of(options.traceparent, &absl::ascii_isprint)
             ? absl::OkStatus()
             : absl::InvalidArgumentError(
                   "traceparent: must be printable ASCII, or it cannot be "
                   "sent");
}

std::unique_ptr<grpc::ClientContext> MakeContext(const CallOptions& options,
                                                 const Caller& caller) {
  auto context = std::make_unique<grpc::ClientContext>();
  if (options.deadline != absl::InfiniteFuture()) {
    context->set_deadline(absl::ToChronoTime(options.deadline));
  }
  context->set_wait_for_ready(options.wait_for_ready);
  if (!caller.token.empty()) {
    context->AddMetadata("authorization",
                         absl::StrCat("Bearer ", caller.token));
  }
  if (!options.traceparent.empty()) {
    context->AddMetadata("traceparent", options.traceparent);
  }
  if (!caller.job.empty()) context->AddMetadata("lossd-job", caller.job);
  return context;
}

Call::Call(const CallOptions& options, const Caller& caller)
    : context_(MakeContext(options, caller)) {}

void Call::Start(const std::shared_ptr<grpc::Channel>& channel,
                 const std::string& method, const grpc::ByteBuffer& request,
                 grpc::CompletionQueue& queue, void* tag) {
  grpc::GenericStub stub(channel);
  reader_ = stub.PrepareUnaryCall(context_.get(), method, request, &queue);
  reader_->StartCall();
  reader_->Finish(&reply_, &status_, tag);
}

absl::StatusOr<grpc::ByteBuffer> Call::Take() {
  const absl::Status status = CallStatus(status_, *context_);
  // These own the call itself and its references to the request's slices.
  reader_.reset();
  context_.reset();
  if (!status.ok()) return status;
  grpc::ByteBuffer reply;
  reply.Swap(&reply_);
  return reply;
}

absl::StatusOr<LossResult> ResultOf(
    const absl::StatusOr<grpc::ByteBuffer>& reply, const CallOptions& options) {
  if (!reply.ok()) return reply.status();
  absl::StatusOr<LossResult> result = ReadReply(*reply);
  PlaceGradient(options.gradient_destination, &result);
  return result;
}

void PlaceGradient(std::span<std::byte> destination,
                   absl::StatusOr<LossResult>* result) {
  if (!result->ok() || destination.empty()) return;
  // A wrong destination is the caller's mistake. It is found only now, because
  // the reply says which dtype the gradient has.
  const absl::Status copied =
      (*result)->gradient.has_value()
          ? (*result)->gradient->CopyTo(destination)
          : absl::InvalidArgumentError("the reply has no gradient");
  if (!copied.ok()) {
    *result = absl::InvalidArgumentError(
        absl::StrCat("gradient_destination: ", copied.message()));
  }
}

}  // namespace lossd::client
