#include "server/rpc/idle_alarm.h"

#include "base/grpc_time.h"

namespace lossd::rpc {

void IdleAlarm::Start() {
  Touch();
  if (limit_ < absl::InfiniteDuration()) Set();
}

bool IdleAlarm::OnTag(bool excused) {
  pending_ = false;
  const bool idle = !excused && clock_->Now() >= last_ + limit_;
  if (idle || excused) Touch();
  Set();
  return idle;
}

void IdleAlarm::Cancel() {
  if (pending_) alarm_.Cancel();
}

void IdleAlarm::Set() {
  const absl::Duration left = last_ + limit_ - clock_->Now();
  pending_ = true;
  alarm_.Set(queue_, GrpcTimeAfter(left), &tag_);
}

}  // namespace lossd::rpc
