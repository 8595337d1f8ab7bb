// The limits on the calls that are here at once, learnt from their answers.
#ifndef LOSSD_SERVER_ADMISSION_CALL_LIMIT_H_
#define LOSSD_SERVER_ADMISSION_CALL_LIMIT_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lossd::admission {

// Decides how many calls may be let in at once, and how many may be here at all
// (D52).
//
// Calls whose message is here are bounded by what the server answers in
// `wanted_wait`, as Little's law has it: a longer queue would only make answers
// late. While fewer than a quarter of that are here, the server may run out of
// work because messages are slow to arrive; then the number that is being
// received has a bound of its own.
//
// That bound, and the one on all calls, are lowered by late answers and raised
// by answers in time. A call that is refused costs its client and the server
// less than one that waits in vain.
//
// No bound is below 64. Not thread-safe.
class CallLimit {
 public:
  CallLimit(int64_t max_calls, absl::Duration wanted_wait);

  // Returns whether one more call may be let in.
  bool Allows(int64_t reading, int64_t received) const;

  // Returns how many calls may wait, be received, or be computed. It is twice
  // max_calls before the first late answer.
  int64_t most_calls() const { return static_cast<int64_t>(most_calls_); }

  // Learns that a call was answered in time.
  void OnAnswered(absl::Time now);
  // Learns that a call was not answered in time, or nearly not, while `reading`
  // were being received and `calls` were here, itself not counted.
  void OnLate(int64_t reading, int64_t calls, absl::Time now);

 private:
  void MeasureRate(absl::Time now);

  const double max_calls_;
  const double wanted_wait_;  // in seconds
  double most_reading_;
  double most_received_;
  double most_calls_;
  absl::Time lowered_ = absl::InfinitePast();
  // The answers since `measured_`.
  absl::Time measured_ = absl::InfinitePast();
  int64_t answers_ = 0;
};

}  // namespace lossd::admission

#endif  // LOSSD_SERVER_ADMISSION_CALL_LIMIT_H_
