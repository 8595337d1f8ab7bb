#include "server/door/retry_delay.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace lossd::door {
namespace {

constexpr int kDraws = 1000;

TEST(RetryDelay, ShortQueuesBackOffFrom100MillisecondsByTheAttempt) {
  std::mt19937_64 random(1);
  for (int attempts = 0; attempts < 6; ++attempts) {
    const absl::Duration middle = absl::Milliseconds(100 << attempts);
    for (int i = 0; i < kDraws; ++i) {
      for (const int wait_us : {0, 50, 9999}) {
        const absl::Duration delay =
            RetryDelay(absl::Microseconds(wait_us), attempts, random);
        EXPECT_GE(delay, middle * 0.8);
        EXPECT_LE(delay, middle * 1.2);
      }
    }
  }
}

TEST(RetryDelay, ALongQueueIsWaitedForWhateverTheAttempt) {
  std::mt19937_64 random(1);
  for (const int attempts : {0, 5}) {
    for (const int wait_ms : {10, 50, 700, 5000}) {
      const absl::Duration wait = absl::Milliseconds(wait_ms);
      for (int i = 0; i < kDraws; ++i) {
        const absl::Duration delay = RetryDelay(wait, attempts, random);
        EXPECT_GE(delay, wait * 0.8);
        EXPECT_LE(delay, wait * 1.2);
      }
    }
  }
}

TEST(RetryDelay, IsNeverBelowTenMillisecondsNorAboveTenSeconds) {
  std::mt19937_64 random(1);
  bool least = false;
  bool most = false;
  for (int i = 0; i < kDraws; ++i) {
    const absl::Duration queue = RetryDelay(kMinRetryDelay, 0, random);
    EXPECT_GE(queue, absl::Milliseconds(10));
    least |= queue == absl::Milliseconds(10);
    for (const int attempts : {7, 8, 1000, 1 << 30}) {
      const absl::Duration delay =
          RetryDelay(absl::ZeroDuration(), attempts, random);
      EXPECT_LE(delay, absl::Seconds(10));
      most |= delay == absl::Seconds(10);
    }
    EXPECT_LE(RetryDelay(absl::InfiniteDuration(), 0, random),
              absl::Seconds(10));
  }
  EXPECT_TRUE(least);
  EXPECT_TRUE(most);
}

TEST(RetryDelay, ClientsRefusedTogetherComeBackApart) {
  std::mt19937_64 random(1);
  std::set<absl::Duration> delays;
  for (int i = 0; i < kDraws; ++i) {
    delays.insert(RetryDelay(absl::ZeroDuration(), 0, random));
  }
  EXPECT_GT(delays.size(), kDraws - 5U);
}

TEST(RetryDelay, ANegativeNumberOfAttemptsCountsAsNone) {
  std::mt19937_64 random(1);
  EXPECT_LE(RetryDelay(absl::ZeroDuration(), -3, random),
            absl::Milliseconds(120));
}

}  // namespace
}  // namespace lossd::door
