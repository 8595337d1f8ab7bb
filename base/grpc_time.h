// Points in time as gRPC's core takes them.
#ifndef LOSSD_BASE_GRPC_TIME_H_
#define LOSSD_BASE_GRPC_TIME_H_

#include <grpc/support/time.h>

#include "absl/time/time.h"

namespace lossd {

// Returns the point that is so far away by the clock that nobody sets. gRPC
// would translate a time of day by a clock that may just have been set.
inline gpr_timespec GrpcTimeAfter(absl::Duration left) {
  if (left == absl::InfiniteDuration()) {
    return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  }
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_nanos(absl::ToInt64Nanoseconds(left), GPR_TIMESPAN));
}

}  // namespace lossd

#endif  // LOSSD_BASE_GRPC_TIME_H_
