#include "server/rpc/call_admission.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/status/statusor.h"
#include "server/door/status.h"

namespace lossd::rpc {
namespace {

std::string_view Reason(admission::Refusal refusal) {
  switch (refusal) {
    case admission::Refusal::kBytes:
      return "bytes";
    case admission::Refusal::kRequests:
      return "requests";
    case admission::Refusal::kShare:
      return "share";
    case admission::Refusal::kDeadline:
      return "deadline";
    case admission::Refusal::kDraining:
      return "draining";
  }
  return "draining";
}

// Counts a refusal; the answer to it says when to come again, also in the
// trailers, unless that would be a lie.
grpc::Status Refuse(const CallContext& call_context, int64_t bytes,
                    uint64_t flow, admission::Refusal refusal,
                    const absl::Status& why, grpc::ServerContext* context) {
  call_context.metrics->RecordRejection(Reason(refusal));
  if (!absl::IsResourceExhausted(why) ||
      call_context.admission->NeverFits(bytes)) {
    return door::ToGrpcStatus(why, {});
  }
  return door::ToOverloadStatus(why, call_context.batcher->RetryAfter(flow),
                                context);
}

}  // namespace

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : absl::FromChrono(deadline);
}

uint64_t FlowOf(const grpc::ServerContext& context) {
  return absl::HashOf(context.peer());
}

grpc::Status Admit(const CallContext& call_context, int64_t bytes,
                   uint64_t flow, absl::Time deadline, absl::Time received,
                   grpc::ServerContext* context, admission::Permit* permit) {
  // The queue is asked only by those who could not wait for it.
  const absl::Duration wait = deadline == absl::InfiniteFuture()
                                  ? absl::ZeroDuration()
                                  : call_context.batcher->ExpectedWait(flow);
  admission::Refusal refusal{};
  absl::StatusOr<admission::Permit> admitted = call_context.admission->Admit(
      bytes, flow, deadline, received, wait, &refusal);
  if (!admitted.ok()) {
    return Refuse(call_context, bytes, flow, refusal, admitted.status(),
                  context);
  }
  *permit = *std::move(admitted);
  return grpc::Status::OK;
}

grpc::Status ChargeMore(const CallContext& call_context, int64_t bytes,
                        uint64_t flow, grpc::ServerContext* context,
                        admission::Permit* permit) {
  admission::Refusal refusal{};
  const absl::Status charged = permit->Resize(bytes, &refusal);
  if (charged.ok()) return grpc::Status::OK;
  return Refuse(call_context, bytes, flow, refusal, charged, context);
}

absl::Status GoneStatus(absl::Time deadline, absl::Time now) {
  return now >= deadline
             ? absl::DeadlineExceededError("the deadline passed")
             : absl::CancelledError("the client cancelled the request");
}

}  // namespace lossd::rpc
