#include "server/base/periodic.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/blocking_counter.h"
#include "tests/server/fake_clock.h"

namespace lossd {
namespace {

constexpr absl::Duration kPeriod = absl::Seconds(10);

TEST(Periodic, CallsOnceInEachPeriodAndNotBefore) {
  FakeClock clock;
  std::atomic<int> calls = 0;
  const Periodic periodic(&clock, kPeriod, [&] { ++calls; });
  for (int period = 0; period < 3; ++period) {
    const absl::Time due = clock.Now() + kPeriod;
    clock.AwaitWaiterUntil(due);
    EXPECT_EQ(calls, period);
    clock.Set(due);
  }
  clock.AwaitWaiterUntil(clock.Now() + kPeriod);
  EXPECT_EQ(calls, 3);
}

TEST(Periodic, EndsWithoutWaitingForItsPeriod) {
  FakeClock clock;
  std::atomic<int> calls = 0;
  {
    const Periodic periodic(&clock, kPeriod, [&] { ++calls; });
  }
  EXPECT_EQ(calls, 0);
}

TEST(Periodic, WaitsForACallThatIsUnderWay) {
  FakeClock clock;
  absl::BlockingCounter begun(1);
  std::atomic<bool> done = false;
  {
    const Periodic periodic(&clock, kPeriod, [&] {
      begun.DecrementCount();
      std::this_thread::yield();
      done = true;
    });
    clock.AwaitWaiters(1);
    clock.Advance(kPeriod);
    begun.Wait();
  }
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace lossd
