// Runs two threads that use Abseil's locks, or memory lent to gRPC, rightly
// (ok_*) or wrongly (race_*): cases NAME. The tests of the tsan preset check
// that the sanitizer, told by absl_annotations.cc and grpc_annotations.cc, is
// silent on the right uses and reports the wrong ones.
#include <grpc/slice.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

// The compiler's thread annotations would refuse the wrong uses.
#define LOSSD_UNCHECKED ABSL_NO_THREAD_SAFETY_ANALYSIS

namespace {

constexpr int kRounds = 1000;
constexpr absl::Duration kBlink = absl::Microseconds(50);

absl::Mutex mu;
absl::Mutex other;
absl::CondVar changed;
absl::Notification notified;
long value = 0;      // written by both threads
bool ready = false;  // guarded by mu

void Together(const std::function<void()>& a, const std::function<void()>& b) {
  std::thread first(a);
  std::thread second(b);
  first.join();
  second.join();
}

void Add() { ++value; }

void AddUnder(absl::Mutex& mutex) {
  for (int i = 0; i < kRounds; ++i) {
    absl::MutexLock lock(&mutex);
    Add();
  }
}

void AddToReader() LOSSD_UNCHECKED {
  for (int i = 0; i < kRounds; ++i) {
    absl::ReaderMutexLock lock(&mu);
    Add();
  }
}

void ReadAsReader() {
  for (int i = 0; i < kRounds; ++i) {
    absl::ReaderMutexLock lock(&mu);
    if (value < 0) std::puts("below 0");
  }
}

void AddIfTaken() LOSSD_UNCHECKED {
  for (int i = 0; i < kRounds; ++i) {
    if (!mu.TryLock()) continue;
    Add();
    mu.Unlock();
  }
}

// One thread adds although the other has the lock. `step` does not order the
// two for the sanitizer, because its operations are relaxed.
void AddWhereNotTaken() {
  std::atomic<int> step = 0;
  const auto reach = [&](int which) {
    while (step.load(std::memory_order_relaxed) < which) {
      std::this_thread::yield();
    }
  };
  const auto holder = [&]() LOSSD_UNCHECKED {
    absl::MutexLock lock(&mu);
    Add();
    step.store(1, std::memory_order_relaxed);
    reach(2);
  };
  const auto other_one = [&]() LOSSD_UNCHECKED {
    reach(1);
    if (!mu.TryLock()) Add();
    step.store(2, std::memory_order_relaxed);
  };
  Together(holder, other_one);
}

void SetReady() {
  absl::MutexLock lock(&mu);
  Add();
  ready = true;
  changed.SignalAll();
}

void AwaitReady() {
  absl::MutexLock lock(&mu);
  mu.Await(absl::Condition(&ready));
  Add();
}

void LockWhenReady() LOSSD_UNCHECKED {
  mu.LockWhen(absl::Condition(&ready));
  Add();
  mu.Unlock();
}

void WaitForChange(absl::Duration limit) {
  absl::MutexLock lock(&mu);
  while (!ready) changed.WaitWithTimeout(&mu, limit);
  Add();
}

void AtABarrier(const std::function<void()>& after) {
  auto* barrier = new absl::Barrier(2);
  const auto meet = [&] {
    const bool last = barrier->Block();
    after();
    if (last) delete barrier;
  };
  Together([&] { Add(), meet(); }, meet);
}

void CountDown() {
  absl::BlockingCounter counter(1);
  Together([&] { Add(), counter.DecrementCount(); },
           [&] { counter.Wait(), Add(); });
}

// Returns a slice over `value`. Dropping it frees nothing.
grpc_slice LendValue() {
  return grpc_slice_new_with_user_data(
      &value, sizeof(value), [](void*) {}, &value);
}

// Hands a slice from one thread to another in the right order, but without the
// sanitizer's knowledge, as gRPC does.
#define LOSSD_UNSEEN __attribute__((no_sanitize("thread")))
grpc_slice handed;
bool is_handed = false;

LOSSD_UNSEEN void HandOver(grpc_slice slice) {
  handed = slice;
  __atomic_store_n(&is_handed, true, __ATOMIC_RELEASE);
}

LOSSD_UNSEEN grpc_slice TakeOver() {
  while (!__atomic_load_n(&is_handed, __ATOMIC_ACQUIRE)) {
    std::this_thread::yield();
  }
  return handed;
}

// Writes before the slice is lent are ordered before its return.
void LendAndDrop() {
  Together([] { Add(), HandOver(LendValue()); },
           [] { grpc_slice_unref(TakeOver()), Add(); });
}

// One thread writes to memory that gRPC may still be sending.
void WriteWhileLent() {
  const grpc_slice slice = LendValue();
  Together(Add, [&] { grpc_slice_unref(slice); });
}

const std::map<std::string, std::function<void()>>& Cases() {
  static const auto& cases = *new std::map<std::string, std::function<void()>>{
      {"ok_mutex",
       [] { Together([] { AddUnder(mu); }, [] { AddUnder(mu); }); }},
      {"ok_reader", [] { Together([] { AddUnder(mu); }, ReadAsReader); }},
      {"ok_try_lock", [] { Together(AddIfTaken, [] { AddUnder(mu); }); }},
      {"ok_cond_var",
       [] {
         Together([] { WaitForChange(absl::InfiniteDuration()); }, SetReady);
       }},
      {"ok_cond_var_timeout",
       [] { Together([] { WaitForChange(kBlink); }, SetReady); }},
      {"ok_await", [] { Together(AwaitReady, SetReady); }},
      {"ok_lock_when", [] { Together(LockWhenReady, SetReady); }},
      {"ok_notification",
       [] {
         Together([] { Add(), notified.Notify(); },
                  [] { notified.WaitForNotification(), Add(); });
       }},
      {"ok_notification_polled",
       [] {
         Together([] { Add(), notified.Notify(); },
                  [] {
                    while (!notified.HasBeenNotified()) {
                      std::this_thread::yield();
                    }
                    Add();
                  });
       }},
      {"ok_notification_timeout",
       [] {
         Together([] { Add(), notified.Notify(); },
                  [] {
                    while (!notified.WaitForNotificationWithTimeout(kBlink)) {
                    }
                    Add();
                  });
       }},
      {"ok_barrier", [] { AtABarrier([] {}), Add(); }},
      {"ok_counter", CountDown},
      {"ok_lent", LendAndDrop},
      {"race_no_lock", [] { Together(Add, Add); }},
      {"race_two_mutexes",
       [] { Together([] { AddUnder(mu); }, [] { AddUnder(other); }); }},
      {"race_lock_on_one_side", [] { Together([] { AddUnder(mu); }, Add); }},
      {"race_reader_writes", [] { Together(AddToReader, AddToReader); }},
      {"race_try_lock_failed", AddWhereNotTaken},
      {"race_after_signal",
       [] {
         Together([] { WaitForChange(kBlink); }, [] { SetReady(), Add(); });
       }},
      {"race_after_notify",
       [] {
         Together([] { notified.Notify(), Add(); },
                  [] { notified.WaitForNotification(), Add(); });
       }},
      {"race_after_barrier", [] { AtABarrier(Add); }},
      {"race_while_lent", WriteWhileLent},
  };
  return cases;
}

}  // namespace

int main(int argc, char** argv) {
  const auto found = Cases().find(argc > 1 ? argv[1] : "");
  if (found == Cases().end()) {
    for (const auto& [name, run] : Cases()) std::puts(name.c_str());
    return 2;
  }
  found->second();
  std::printf("%s: done\n", found->first.c_str());
}
