#include "server/rpc/idle_alarm.h"

#include <gtest/gtest.h>

#include "tests/server/fake_clock.h"

namespace lossd::rpc {
namespace {

// The queue waits in real time, for a millisecond. A clock that the test moves
// decides whether the call is idle.
class IdleAlarmTest : public testing::Test {
 protected:
  static constexpr absl::Duration kLimit = absl::Milliseconds(1);

  ~IdleAlarmTest() override {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  // Waits for the tag. Returns true if it came by itself, false if it was
  // cancelled.
  bool AwaitTag() {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue_.Next(&tag, &ok));
    EXPECT_EQ(static_cast<RpcCall::Tag*>(tag)->event, 42);
    return ok;
  }

  FakeClock clock_;
  grpc::CompletionQueue queue_;
};

TEST_F(IdleAlarmTest, IsIdleOnlyOnceNothingHasHappenedForTheLimit) {
  IdleAlarm alarm(&clock_, kLimit, &queue_, {nullptr, 42});
  alarm.Start();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(alarm.pending());
    ASSERT_TRUE(AwaitTag());
    EXPECT_FALSE(alarm.OnTag());  // the clock stands
  }
  clock_.Advance(kLimit);
  alarm.Touch();
  ASSERT_TRUE(AwaitTag());
  EXPECT_FALSE(alarm.OnTag());
  clock_.Advance(kLimit - absl::Nanoseconds(1));
  ASSERT_TRUE(AwaitTag());
  EXPECT_FALSE(alarm.OnTag());
  clock_.Advance(absl::Nanoseconds(1));
  ASSERT_TRUE(AwaitTag());
  EXPECT_TRUE(alarm.OnTag());
  // The alarm watches on, from this time.
  ASSERT_TRUE(AwaitTag());
  EXPECT_FALSE(alarm.OnTag());
  alarm.Cancel();
  AwaitTag();
  alarm.Drop();
  EXPECT_FALSE(alarm.pending());
}

TEST_F(IdleAlarmTest, IsNeverIdleWhileItIsExcused) {
  IdleAlarm alarm(&clock_, kLimit, &queue_, {nullptr, 42});
  alarm.Start();
  clock_.Advance(10 * kLimit);
  ASSERT_TRUE(AwaitTag());
  EXPECT_FALSE(alarm.OnTag(/*excused=*/true));
  ASSERT_TRUE(AwaitTag());
  EXPECT_FALSE(alarm.OnTag());  // counted from the excuse
  alarm.Cancel();
  AwaitTag();
  alarm.Drop();
}

TEST_F(IdleAlarmTest, NeverHasATagWithoutALimit) {
  IdleAlarm alarm(&clock_, absl::InfiniteDuration(), &queue_, {nullptr, 42});
  alarm.Start();
  EXPECT_FALSE(alarm.pending());
  alarm.Cancel();
}

TEST_F(IdleAlarmTest, ComesAtOnceWhenItIsCancelled) {
  IdleAlarm alarm(&clock_, absl::Hours(1), &queue_, {nullptr, 42});
  alarm.Start();
  alarm.Cancel();
  alarm.Cancel();
  EXPECT_FALSE(AwaitTag());
  alarm.Drop();
}

}  // namespace
}  // namespace lossd::rpc
