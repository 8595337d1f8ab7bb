#include "client/cpp/session_call.h"

#include "client/cpp/call_status.h"
#include "client/cpp/message/reply_reader.h"

namespace lossd::client {

void SessionCall::Cancel() {
  absl::MutexLock lock(&mu_);
  if (owner_ != nullptr) owner_->Cancel(this);
}

void SessionCall::Detach() {
  absl::MutexLock lock(&mu_);
  owner_ = nullptr;
}

void SessionCall::Take(EntryAnswer answer) {
  if (answer.status.ok()) {
    result_ = ReadReply(answer.response);
    return PlaceGradient(destination_, &result_);
  }
  if (answer.retry_delay) SetRetryAfter(*answer.retry_delay, &answer.status);
  result_ = std::move(answer.status);
}

bool SessionCall::IsFree(grpc::CompletionQueue* queue) {
  // The news goes through the queue, because a slice may be dropped deep inside
  // gRPC, where no user's code should run.
  return tracker_->AllDroppedOrElse([this, queue] {
    free_.emplace().Set(queue, gpr_time_0(GPR_CLOCK_MONOTONIC), tag());
  });
}

}  // namespace lossd::client
