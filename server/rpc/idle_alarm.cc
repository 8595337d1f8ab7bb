#include "server/rpc/idle_alarm.h"

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
  const gpr_timespec due = gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_nanos(absl::ToInt64Nanoseconds(left), GPR_TIMESPAN));
  pending_ = true;
  alarm_.Set(queue_, due, &tag_);
}

}  // namespace lossd::rpc
