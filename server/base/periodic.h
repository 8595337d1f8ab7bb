// Work that is done again and again.
#ifndef LOSSD_SERVER_BASE_PERIODIC_H_
#define LOSSD_SERVER_BASE_PERIODIC_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/clock.h"

namespace lossd {

// Calls a function on a thread of its own: first after one period, then a
// period after each call has returned. The destructor waits for a call that is
// under way, and no other follows.
class Periodic {
 public:
  // Borrows `clock`.
  Periodic(const Clock* clock, absl::Duration period,
           std::function<void()> call);
  ~Periodic();
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

 private:
  void Run();
  // Returns false as soon as the thread is to end, else true after a period.
  bool WaitForPeriod();

  const Clock* const clock_;
  const absl::Duration period_;
  const std::function<void()> call_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // declared last: it uses all of the above
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_PERIODIC_H_
