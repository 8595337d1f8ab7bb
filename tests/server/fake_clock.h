// A clock whose time moves only when a test says so.
#ifndef LOSSD_TESTS_SERVER_FAKE_CLOCK_H_
#define LOSSD_TESTS_SERVER_FAKE_CLOCK_H_

#include <algorithm>
#include <list>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/clock.h"

namespace lossd {

// A thread in Wait() wakes when the time reaches its `until`, or when its
// condition is signalled. Conditions that are waited on outlive Set() and
// Advance(). Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::UnixEpoch() + absl::Hours(1))
      : now_(start) {}

  absl::Time Now() const override {
    absl::MutexLock lock(&mu_);
    return now_;
  }

  void Wait(absl::Mutex* mu, absl::CondVar* condition,
            absl::Time until) const override {
    std::list<Waiter>::iterator self;
    {
      absl::MutexLock lock(&mu_);
      if (now_ >= until) return;
      self = waiters_.insert(waiters_.end(), Waiter{mu, condition, until});
    }
    condition->Wait(mu);
    absl::MutexLock lock(&mu_);
    waiters_.erase(self);
  }

  // Sets the time, which may also go back.
  void Set(absl::Time now) {
    std::vector<Waiter> due;
    {
      absl::MutexLock lock(&mu_);
      now_ = now;
      std::copy_if(waiters_.begin(), waiters_.end(), std::back_inserter(due),
                   [&](const Waiter& waiter) { return waiter.until <= now; });
    }
    for (const Waiter& waiter : due) {
      // The waiter holds its mutex until it is on the condition: no wake-up is
      // lost.
      absl::MutexLock lock(waiter.mu);
      waiter.condition->SignalAll();
    }
  }
  void Advance(absl::Duration by) { Set(Now() + by); }

  // Blocks until exactly `count` threads are in Wait(). A thread that was
  // signalled counts until it has run.
  void AwaitWaiters(size_t count) const {
    absl::MutexLock lock(&mu_);
    auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return waiters_.size() == count;
    };
    mu_.Await(absl::Condition(&there));
  }
  // Blocks until a thread waits for exactly `until`.
  void AwaitWaiterUntil(absl::Time until) const {
    absl::MutexLock lock(&mu_);
    auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return std::any_of(
          waiters_.begin(), waiters_.end(),
          [&](const Waiter& waiter) { return waiter.until == until; });
    };
    mu_.Await(absl::Condition(&there));
  }

 private:
  struct Waiter {
    absl::Mutex* mu;
    absl::CondVar* condition;
    absl::Time until;
  };

  mutable absl::Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_);
  mutable std::list<Waiter> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd

#endif  // LOSSD_TESTS_SERVER_FAKE_CLOCK_H_
