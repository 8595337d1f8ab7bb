#include "base/steady_time.h"

#include <gtest/gtest.h>

#include <chrono>

#include "absl/time/time.h"

namespace lossd {
namespace {

TEST(SteadyTime, GoesOnAsTheSteadyClockDoes) {
  using Clock = std::chrono::steady_clock;
  SteadyNow();  // the first call sets the beginning
  const Clock::time_point outer = Clock::now();
  const absl::Time begin = SteadyNow();
  const Clock::time_point inner = Clock::now();
  while (Clock::now() - inner < std::chrono::milliseconds(5)) {
  }
  const Clock::time_point inner_end = Clock::now();
  const absl::Duration passed = SteadyNow() - begin;
  const Clock::time_point outer_end = Clock::now();

  EXPECT_GE(passed, absl::FromChrono(inner_end - inner));
  EXPECT_LE(passed, absl::FromChrono(outer_end - outer));
}

TEST(SteadyTime, OfAMomentIsAsFarAwayAsTheMoment) {
  const absl::Time now = absl::FromChrono(std::chrono::system_clock::now());
  const absl::Time before = SteadyNow();
  const absl::Time there = SteadyTimeOf(now + absl::Hours(1));

  // A machine's clock that is slewed may differ by a part in a thousand.
  EXPECT_NEAR(absl::ToDoubleSeconds(there - before), 3600, 60);
}

TEST(SteadyTime, BecomesTheTimeOfDayAgain) {
  const absl::Time now = absl::FromChrono(std::chrono::system_clock::now());
  const absl::Duration there_and_back =
      SteadyTimeOf(now) + SteadyToTimeOfDay() - now;
  EXPECT_NEAR(absl::ToDoubleSeconds(there_and_back), 0, 60);
}

TEST(SteadyTime, LeavesWhatIsNeverReached) {
  EXPECT_EQ(SteadyTimeOf(absl::InfiniteFuture()), absl::InfiniteFuture());
  EXPECT_EQ(SteadyTimeOf(absl::InfinitePast()), absl::InfinitePast());
}

}  // namespace
}  // namespace lossd
