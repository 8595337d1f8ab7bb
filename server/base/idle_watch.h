// Notices when nothing has happened for a while.
#ifndef LOSSD_SERVER_BASE_IDLE_WATCH_H_
#define LOSSD_SERVER_BASE_IDLE_WATCH_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lossd {

// Compares a count of events that is shown to it from time to time. Not
// thread-safe.
class IdleWatch {
 public:
  explicit IdleWatch(absl::Duration limit) : limit_(limit) {}

  // Returns true once in each pause: when `events` has been the same for the
  // limit.
  bool IsDue(int64_t events, absl::Time now) {
    if (events != events_) {
      events_ = events;
      since_ = now;
      due_ = true;
    }
    if (!due_ || now - since_ < limit_) return false;
    due_ = false;
    return true;
  }

 private:
  const absl::Duration limit_;
  int64_t events_ = 0;
  absl::Time since_;
  bool due_ = false;  // something has happened since the last pause
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_IDLE_WATCH_H_
