#include "server/admission/intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

namespace lossd::admission {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Decision = Intake::Decision;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
constexpr int64_t kBudget = 4000;

// A call that notes what it is told.
struct Call final : MessageReader {
  explicit Call(uint64_t flow, absl::Time deadline = absl::InfiniteFuture()) {
    arrival.reader = this;
    arrival.flow = flow;
    arrival.deadline = deadline;
  }
  void OnMayRead() override { told.emplace_back("read"); }
  void OnTurnedAway(const absl::Status& why) override {
    told.emplace_back(absl::StatusCodeToString(why.code()));
  }

  Arrival arrival;
  std::vector<std::string> told;
};

IntakeOptions Options() {
  return {.max_inflight_bytes = kBudget,
          .max_reading_bytes = 1000,
          .max_calls = 100,
          .first_message_bytes = 2000};
}

// Options with which the number of calls is what limits them.
IntakeOptions ManyCalls() {
  IntakeOptions options = Options();
  options.max_calls = 1000;
  options.max_inflight_bytes = 1'000'000;
  return options;
}

// Lets a call of the flow in, which is answered at `now`, and learns from it.
void Teach(Intake& intake, uint64_t flow, int64_t bytes, absl::Time now = kNow,
           absl::Duration spent = absl::ZeroDuration()) {
  Call call(flow);
  ASSERT_EQ(intake.Enter(&call.arrival, 0, now - spent), Decision::kRead);
  intake.Received(&call.arrival, now);
  intake.LeaveAnswered(&call.arrival, bytes, now);
}

TEST(Intake, ReceivesOneFirstMessageAtATime) {
  Intake intake(Options());
  Call first(1), second(2);
  EXPECT_EQ(intake.Enter(&first.arrival, 0, kNow), Decision::kRead);
  EXPECT_EQ(intake.Enter(&second.arrival, 0, kNow), Decision::kWait);
  EXPECT_TRUE(intake.waiting());
  intake.Leave(&first.arrival, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(second.told, ElementsAre("read"));
  intake.Leave(&second.arrival, kNow);
  EXPECT_EQ(intake.calls(), 0);
  EXPECT_EQ(intake.reading_bytes(), 0);
}

TEST(Intake, ReceivesManyMessagesOfALearntSize) {
  Intake intake(Options());
  Teach(intake, 1, 250);
  std::deque<Call> calls;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(intake.Enter(&calls.emplace_back(1).arrival, 0, kNow),
              Decision::kRead);
  }
  EXPECT_EQ(intake.Enter(&calls.emplace_back(1).arrival, 0, kNow),
            Decision::kWait);
  EXPECT_EQ(intake.reading_bytes(), 1000);
  // A connection that is new is thought to send what others do.
  EXPECT_EQ(intake.Enter(&calls.emplace_back(2).arrival, 0, kNow),
            Decision::kWait);
  intake.Leave(&calls[0].arrival, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(calls[4].told, IsEmpty());
  EXPECT_THAT(calls[5].told, ElementsAre("read"));  // it has less on its way
}

TEST(Intake, ConnectionsTakeTurns) {
  Intake intake(Options());
  Teach(intake, 1, 1000);
  Teach(intake, 2, 1000);
  std::deque<Call> calls;
  for (const uint64_t flow : {2, 1, 2, 1, 2}) {
    intake.Enter(&calls.emplace_back(flow).arrival, 0, kNow);
  }
  std::vector<uint64_t> order = {2};  // the first did not wait
  for (size_t i = 0, at = 0; i < 4; ++i) {
    intake.Leave(&calls[at].arrival, kNow);
    intake.LetIn(0, kNow);
    for (size_t k = 1; k < calls.size(); ++k) {
      if (calls[k].told.empty()) continue;
      calls[k].told.clear();
      at = k;
      order.push_back(calls[k].arrival.flow);
    }
  }
  EXPECT_THAT(order, ElementsAre(2, 1, 2, 1, 2));
}

TEST(Intake, CountsRequestsInFlight) {
  Intake intake(Options());
  Teach(intake, 1, 500);
  Call call(1);
  EXPECT_EQ(intake.Enter(&call.arrival, 3600, kNow), Decision::kWait);
  intake.LetIn(3501, kNow);
  EXPECT_THAT(call.told, IsEmpty());
  intake.LetIn(3500, kNow);
  EXPECT_THAT(call.told, ElementsAre("read"));
}

TEST(Intake, ForgetsLargeMessagesByAndBy) {
  Intake intake(Options());
  Teach(intake, 1, 800);
  EXPECT_EQ(intake.LeastExpected(1), 400);
  EXPECT_EQ(intake.LeastExpected(2), 0);
  for (int i = 0; i < 40; ++i) Teach(intake, 1, 8);
  EXPECT_LE(intake.LeastExpected(1), 8);
}

TEST(Intake, PlacesAreSharedAndANewcomerGetsOne) {
  Intake intake(Options());
  std::deque<Call> calls;
  Decision decision = Decision::kWait;
  while (decision != Decision::kFull) {
    decision = intake.Enter(&calls.emplace_back(1).arrival, 0, kNow);
  }
  EXPECT_EQ(intake.calls(), 88);  // seven eighths
  Call newcomer(2);
  EXPECT_EQ(intake.Enter(&newcomer.arrival, 0, kNow), Decision::kWait);
}

TEST(Intake, RefusesWhatWouldBeLate) {
  Intake intake(Options());
  Call expired(1, kNow);
  EXPECT_EQ(intake.Enter(&expired.arrival, 0, kNow), Decision::kTooLate);
  Teach(intake, 1, 10, kNow, absl::Milliseconds(300));
  Call hopeless(1, kNow + absl::Milliseconds(300));
  EXPECT_EQ(intake.Enter(&hopeless.arrival, 0, kNow), Decision::kTooLate);
  Call possible(1, kNow + absl::Milliseconds(301));
  EXPECT_EQ(intake.Enter(&possible.arrival, 0, kNow), Decision::kRead);
  // Another connection's answers say nothing about this one's.
  Call other(2, kNow + absl::Milliseconds(1));
  EXPECT_EQ(intake.Enter(&other.arrival, 0, kNow), Decision::kRead);
  EXPECT_EQ(intake.calls(), 2);
}

TEST(Intake, DoesNotBelieveOldTimes) {
  Intake intake(Options());
  Teach(intake, 1, 10, kNow, absl::Seconds(5));
  const absl::Time later = kNow + absl::Milliseconds(201);
  Call call(1, later + absl::Milliseconds(1));
  EXPECT_EQ(intake.Enter(&call.arrival, 0, later), Decision::kRead);
}

TEST(Intake, TheEarliestDeadlineIsFirst) {
  Intake intake(Options());
  Call first(1), late(1, kNow + absl::Seconds(9)),
      soon(1, kNow + absl::Seconds(5));
  intake.Enter(&first.arrival, 0, kNow);
  intake.Enter(&late.arrival, 0, kNow);
  intake.Enter(&soon.arrival, 0, kNow);
  intake.Leave(&first.arrival, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(soon.told, ElementsAre("read"));
  EXPECT_THAT(late.told, IsEmpty());
}

TEST(Intake, UnderOverloadTheLatestDeadlineIsFirst) {
  Intake intake(Options());
  Call first(1), late(1, kNow + absl::Seconds(9)),
      soon(1, kNow + absl::Seconds(5));
  intake.Enter(&first.arrival, 0, kNow);
  intake.Enter(&late.arrival, 0, kNow);
  intake.Enter(&soon.arrival, 0, kNow);
  intake.Leave(&first.arrival, kNow);
  intake.LetIn(0, kNow + absl::Milliseconds(51));
  EXPECT_THAT(late.told, ElementsAre("read"));
  EXPECT_THAT(soon.told, IsEmpty());
}

TEST(Intake, TurnsCallsAwayThatHaveWaitedTooLong) {
  Intake intake(Options());
  Call first(1), waiting(1, kNow + absl::Milliseconds(10));
  intake.Enter(&first.arrival, 0, kNow);
  ASSERT_EQ(intake.Enter(&waiting.arrival, 0, kNow), Decision::kWait);
  intake.LetIn(0, kNow + absl::Milliseconds(10));
  EXPECT_THAT(waiting.told, ElementsAre("DEADLINE_EXCEEDED"));
  EXPECT_FALSE(intake.waiting());
  EXPECT_EQ(intake.calls(), 1);
}

TEST(Intake, MessagesThatNeverArriveHoldNobodyUp) {
  Intake intake(Options());
  Call stuck(1), next(2);
  intake.Enter(&stuck.arrival, 0, kNow);
  ASSERT_EQ(intake.Enter(&next.arrival, 0, kNow), Decision::kWait);
  intake.LetIn(0, kNow + absl::Seconds(1));
  EXPECT_THAT(next.told, ElementsAre("read"));
  intake.Leave(&stuck.arrival, kNow);
  EXPECT_EQ(intake.reading_bytes(), 2000);
}

TEST(Intake, LargeMessagesMayTakeLonger) {
  IntakeOptions options = Options();
  options.max_reading_bytes = options.max_inflight_bytes = 64 << 20;
  Intake intake(options);
  Teach(intake, 1, 40 << 20);  // six seconds
  Call slow(1), next(1);
  intake.Enter(&slow.arrival, 0, kNow);
  ASSERT_EQ(intake.Enter(&next.arrival, 0, kNow), Decision::kWait);
  intake.LetIn(0, kNow + absl::Milliseconds(5999));
  EXPECT_THAT(next.told, IsEmpty());
  intake.LetIn(0, kNow + absl::Seconds(6));
  EXPECT_THAT(next.told, ElementsAre("read"));
}

TEST(Intake, NobodyIsLetInBeyondTheLimitsWhileOthersMove) {
  Intake intake(Options());
  Teach(intake, 1, 1000);
  Call moving(1), waiting(1);
  ASSERT_EQ(intake.Enter(&moving.arrival, 0, kNow), Decision::kRead);
  ASSERT_EQ(intake.Enter(&waiting.arrival, kBudget, kNow), Decision::kWait);
  intake.Received(&moving.arrival, kNow + absl::Milliseconds(900));
  intake.LetIn(kBudget, kNow + absl::Milliseconds(1899));
  EXPECT_THAT(waiting.told, IsEmpty());
  intake.LetIn(kBudget, kNow + absl::Milliseconds(1900));
  EXPECT_THAT(waiting.told, ElementsAre("read"));
}

TEST(Intake, AnswersThatNobodyTakesHoldNobodyUp) {
  Intake intake(ManyCalls());
  Teach(intake, 1, 1);
  std::deque<Call> calls;
  while (intake.Enter(&calls.emplace_back(1).arrival, 64, kNow) ==
         Decision::kRead) {
    intake.Received(&calls.back().arrival, kNow);
  }
  intake.LetIn(64, kNow + absl::Milliseconds(999));
  EXPECT_TRUE(intake.waiting());
  intake.LetIn(64, kNow + absl::Seconds(1));
  EXPECT_FALSE(intake.waiting());
  for (Call& call : calls) intake.Leave(&call.arrival, kNow);
  EXPECT_EQ(intake.calls(), 0);
}

TEST(Intake, LetsOneCallInEachSecondThoughTheBudgetIsFull) {
  Intake intake(Options());
  Call first(1), second(2), third(3);
  ASSERT_EQ(intake.Enter(&first.arrival, kBudget, kNow), Decision::kWait);
  intake.Enter(&second.arrival, kBudget, kNow);
  intake.Enter(&third.arrival, kBudget, kNow);
  const auto told = [&] {
    return first.told.size() + second.told.size() + third.told.size();
  };
  intake.LetIn(kBudget, kNow + absl::Milliseconds(999));
  EXPECT_EQ(told(), 0);
  intake.LetIn(kBudget, kNow + absl::Seconds(1));
  EXPECT_EQ(told(), 1);
  intake.LetIn(kBudget, kNow + absl::Milliseconds(1999));
  EXPECT_EQ(told(), 1);
  intake.LetIn(kBudget, kNow + absl::Seconds(2));
  EXPECT_EQ(told(), 2);
}

TEST(Intake, LateAnswersLowerHowMuchIsReceivedAtOnce) {
  Intake intake(ManyCalls());
  for (int i = 0; i < 200; ++i) Teach(intake, 1, 1);
  std::deque<Call> calls;
  while (intake.Enter(&calls.emplace_back(1).arrival, 0, kNow) ==
         Decision::kRead) {
  }
  ASSERT_EQ(calls.size(), 265);  // the last one waits
  intake.LeaveLate(&calls[0].arrival, kNow);
  Call refused(1);  // 185 calls may be here
  EXPECT_EQ(intake.Enter(&refused.arrival, 0, kNow), Decision::kFull);
  for (size_t i = 1; i <= 79; ++i) intake.Leave(&calls[i].arrival, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(calls.back().told, IsEmpty());  // 184 are being received
  intake.Leave(&calls[80].arrival, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(calls.back().told, ElementsAre("read"));
}

TEST(Intake, ReceivedCallsLeaveRoomWhenTheyAreAnswered) {
  Intake intake(ManyCalls());
  Teach(intake, 1, 1);
  std::deque<Call> calls;
  while (intake.Enter(&calls.emplace_back(1).arrival, 0, kNow) ==
         Decision::kRead) {
    intake.Received(&calls.back().arrival, kNow);
    ASSERT_LE(calls.size(), 64);
  }
  EXPECT_EQ(calls.size(), 65);
  intake.LetIn(0, kNow);
  EXPECT_TRUE(intake.waiting());
  intake.LeaveAnswered(&calls[0].arrival, 1, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(calls.back().told, ElementsAre("read"));
}

TEST(Intake, ACallThatLeavesIsNotTold) {
  Intake intake(Options());
  Call first(1), second(2);
  intake.Enter(&first.arrival, 0, kNow);
  intake.Enter(&second.arrival, 0, kNow);
  EXPECT_FALSE(intake.Remove(&first.arrival, kNow));  // it is being received
  EXPECT_TRUE(intake.Remove(&second.arrival, kNow));
  EXPECT_FALSE(intake.Remove(&second.arrival, kNow));
  intake.Leave(&first.arrival, kNow);
  intake.LetIn(0, kNow);
  EXPECT_THAT(second.told, IsEmpty());
}

TEST(Intake, ADrainTurnsAllAway) {
  Intake intake(Options());
  Call first(1), second(2), third(3);
  intake.Enter(&first.arrival, 0, kNow);
  intake.Enter(&second.arrival, 0, kNow);
  intake.Enter(&third.arrival, 0, kNow);
  intake.TurnAllAway(absl::UnavailableError("the server is draining"));
  EXPECT_THAT(first.told, IsEmpty());
  EXPECT_THAT(second.told, ElementsAre("UNAVAILABLE"));
  EXPECT_THAT(third.told, ElementsAre("UNAVAILABLE"));
}

TEST(Intake, RemembersABoundedNumberOfConnections) {
  Intake intake(Options());
  for (uint64_t flow = 1; flow <= 10'000; ++flow) Teach(intake, flow, 100);
  int known = 0;
  for (uint64_t flow = 1; flow <= 10'000; ++flow) {
    known += intake.LeastExpected(flow) > 0 ? 1 : 0;
  }
  EXPECT_LE(known, 4097);
  EXPECT_EQ(intake.LeastExpected(10'000), 50);
}

}  // namespace
}  // namespace lossd::admission
