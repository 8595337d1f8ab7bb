#include "server/admission/call_limit.h"

#include <gtest/gtest.h>

namespace lossd::admission {
namespace {

constexpr int64_t kMaxCalls = 4096;
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

CallLimit Limit() { return {kMaxCalls, absl::Milliseconds(50)}; }

// Answers `count` calls at an even rate from `begin` on, and returns the time
// of the last.
absl::Time Answer(CallLimit& limit, int count, double per_second,
                  absl::Time begin) {
  absl::Time now = begin;
  for (int i = 0; i < count; ++i) {
    now += absl::Seconds(1 / per_second);
    limit.OnAnswered(now);
  }
  return now;
}

// The largest number of received calls beside which one more is let in while
// nothing is being received.
int64_t MostReceived(const CallLimit& limit) {
  int64_t most = 0;
  for (int64_t received = 0; received < kMaxCalls; ++received) {
    if (limit.Allows(0, received)) most = received;
  }
  return most + 1;
}

TEST(CallLimit, BeginsAtSixtyFour) {
  const CallLimit limit = Limit();
  EXPECT_TRUE(limit.Allows(63, 0));
  EXPECT_FALSE(limit.Allows(64, 0));
  EXPECT_EQ(MostReceived(limit), 64);
}

TEST(CallLimit, FollowsTheRateOfAnswers) {
  CallLimit limit = Limit();
  const absl::Time fast = Answer(limit, 20'000, 20'000, kNow);
  EXPECT_NEAR(static_cast<double>(MostReceived(limit)), 1000, 10);
  Answer(limit, 20'000, 2000, fast);
  EXPECT_NEAR(static_cast<double>(MostReceived(limit)), 100, 2);
}

TEST(CallLimit, IsNeverBelowSixtyFour) {
  CallLimit limit = Limit();
  Answer(limit, 1000, 10, kNow);
  EXPECT_EQ(MostReceived(limit), 64);
}

TEST(CallLimit, CountsWhatIsBeingReceivedOnceTheServerHasWork) {
  CallLimit limit = Limit();
  Answer(limit, 20'000, 20'000, kNow);
  EXPECT_TRUE(limit.Allows(500, 400));
  EXPECT_FALSE(limit.Allows(700, 400));
  EXPECT_TRUE(limit.Allows(700, 100));  // it would run out of work soon
}

TEST(CallLimit, LateAnswersLowerWhatIsBeingReceived) {
  CallLimit limit = Limit();
  Answer(limit, 136, 1, kNow);
  EXPECT_TRUE(limit.Allows(199, 0));
  limit.OnLate(200, 200, kNow);
  EXPECT_TRUE(limit.Allows(139, 0));
  EXPECT_FALSE(limit.Allows(140, 0));
  limit.OnLate(200, 200, kNow + absl::Milliseconds(99));  // once in 100 ms
  EXPECT_TRUE(limit.Allows(139, 0));
  limit.OnLate(63, 63,
               kNow + absl::Milliseconds(100));  // too few to be the reason
  EXPECT_TRUE(limit.Allows(139, 0));
  Answer(limit, 51, 1, kNow);
  EXPECT_TRUE(limit.Allows(140, 0));
}

TEST(CallLimit, LateAnswersLowerHowManyCallsAreHere) {
  CallLimit limit = Limit();
  EXPECT_EQ(limit.most_calls(), 2 * kMaxCalls);
  limit.OnLate(0, 1000, kNow);
  EXPECT_EQ(limit.most_calls(), 700);
  Answer(limit, 501, 1000, kNow);
  EXPECT_EQ(limit.most_calls(), 710);
  for (int i = 1; i <= 20; ++i) {
    limit.OnLate(0, limit.most_calls(), kNow + i * absl::Seconds(1));
  }
  EXPECT_EQ(limit.most_calls(), 64);
}

TEST(CallLimit, NeverExceedsTheCalls) {
  CallLimit limit(100, absl::Milliseconds(50));
  Answer(limit, 1000, 1, kNow);
  EXPECT_TRUE(limit.Allows(99, 0));
  EXPECT_FALSE(limit.Allows(100, 0));
}

}  // namespace
}  // namespace lossd::admission
