// Time that nobody sets.
#ifndef LOSSD_BASE_STEADY_TIME_H_
#define LOSSD_BASE_STEADY_TIME_H_

#include "absl/time/time.h"

namespace lossd {

// Returns the time of day at which the process first asked, and how long that
// is ago by a clock that nobody sets. Unlike absl::Now() it goes on evenly when
// an administrator, NTP or a resumed virtual machine steps the machine's clock,
// so deadlines and periods are told by it; it is no time to print. Thread-safe.
absl::Time SteadyNow();

// Returns the steady time of a moment that is given by the clock of the
// machine, as it stands now. InfiniteFuture() and InfinitePast() stay.
absl::Time SteadyTimeOf(absl::Time time_of_day);

// Returns what has to be added to steady times to have times of day, as the
// machine's clock stands now.
absl::Duration SteadyToTimeOfDay();

}  // namespace lossd

#endif  // LOSSD_BASE_STEADY_TIME_H_
