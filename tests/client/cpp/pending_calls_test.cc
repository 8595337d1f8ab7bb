#include "client/cpp/pending_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/steady_time.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

constexpr uint64_t kStream = 7;
constexpr int64_t kAnyBytes = int64_t{1} << 40;
constexpr absl::Time kNever = absl::InfiniteFuture();

absl::Status Gone() { return absl::UnavailableError("gone"); }

class Owner final : public SessionCallOwner {
 public:
  void Cancel(SessionCall*) override {}
};

class PendingCallsTest : public testing::Test {
 protected:
  // Returns a call of a request that is its id alone.
  PendingCalls::Call MakeCall(const std::string& request_id = "r",
                              absl::Time deadline = kNever) {
    v1::ComputeLossRequest request;
    request.set_request_id(request_id);
    return std::make_shared<SessionCall>(
        &owner_,
        MessagePieces{.slices = {}, .tail = request.SerializeAsString()},
        SliceTracker::Make(), CallOptions{.deadline = deadline},
        [](const auto&) {});
  }

  PendingCalls::Call Add(PendingCalls& pending) {
    PendingCalls::Call call = MakeCall();
    EXPECT_TRUE(pending.Add(call).ok());
    return call;
  }

  // Adds a call and gives it to the stream.
  PendingCalls::Call Send(PendingCalls& pending) {
    PendingCalls::Call call = Add(pending);
    pending.NextMessage(kStream, kAnyBytes);
    return call;
  }

  Owner owner_;
  Retries retries_;
};

// Returns the ids of the requests in a message.
std::vector<std::string> RequestsOf(const grpc::ByteBuffer& message) {
  grpc::Slice slice;
  EXPECT_TRUE(message.DumpToSingleSlice(&slice).ok());
  v1::ComputeLossesRequest request;
  EXPECT_TRUE(
      request.ParseFromArray(slice.begin(), static_cast<int>(slice.size())));
  std::vector<std::string> ids;
  for (const auto& entry : request.entries()) {
    ids.push_back(entry.request().request_id());
  }
  return ids;
}

TEST_F(PendingCallsTest, BytesBoundWhatIsUnanswered) {
  const int64_t bytes = MakeCall()->bytes;
  PendingCalls pending({.max_unanswered_bytes = 2 * bytes}, nullptr);
  for (int i = 0; i < 3; ++i) Add(pending);
  EXPECT_EQ(RequestsOf(pending.NextMessage(kStream, kAnyBytes)).size(), 2);
  EXPECT_FALSE(pending.HasRoom());
  EXPECT_NE(pending.Answer(1), nullptr);
  EXPECT_TRUE(pending.HasRoom());
}

TEST_F(PendingCallsTest, AnAnsweredCallIsThatOfNoStream) {
  PendingCalls pending({}, nullptr);
  const auto call = Send(pending);
  EXPECT_EQ(call->stream, kStream);
  EXPECT_TRUE(pending.HasUnanswered(kStream));
  EXPECT_EQ(pending.Answer(call->id), call);
  EXPECT_EQ(call->stream, 0);
  EXPECT_FALSE(pending.HasUnanswered(kStream));
  EXPECT_EQ(pending.Answer(call->id), nullptr);
}

// A server's limit is that of its message, of which the request is a part.
TEST_F(PendingCallsTest, ACallThatNoMessageTakesIsEnded) {
  PendingCalls pending({}, nullptr);
  const auto call = Add(pending);
  const int64_t least = call->bytes + int64_t{EntryWriter::kMostExtraBytes};
  EXPECT_TRUE(pending.Waits(least));
  EXPECT_FALSE(pending.Waits(least - 1));
  EXPECT_THAT(pending.TakeEnded(), ElementsAre(call));
}

TEST_F(PendingCallsTest, OneServerIsAskedOnce) {
  PendingCalls pending({}, nullptr);
  const auto refused = Send(pending);
  EXPECT_FALSE(pending.AnswerLater(refused->id, Gone()));
  const auto waiting = Add(pending);
  pending.LoseWaiting(Gone());
  pending.LoseUnanswered(kStream, Gone());
  EXPECT_THAT(pending.TakeEnded(), ElementsAre(waiting, refused));
}

TEST_F(PendingCallsTest, APostponedCallIsSentAgainAsItWas) {
  PendingCalls pending({}, &retries_);
  const auto call = MakeCall("again");
  ASSERT_TRUE(pending.Add(call).ok());
  for (int attempts = 1; attempts < Retries::kMostAttempts; ++attempts) {
    ASSERT_TRUE(pending.Waits(kAnyBytes));
    EXPECT_THAT(RequestsOf(pending.NextMessage(kStream, kAnyBytes)),
                ElementsAre("again"));
    ASSERT_TRUE(pending.AnswerLater(call->id, Gone()));
    EXPECT_FALSE(pending.Waits(kAnyBytes));
    EXPECT_GT(pending.NextResume(), SteadyNow());
    pending.Resume(pending.NextResume());
    EXPECT_EQ(pending.NextResume(), kNever);
  }
  ASSERT_TRUE(pending.Waits(kAnyBytes));
  pending.NextMessage(kStream, kAnyBytes);
  EXPECT_FALSE(pending.AnswerLater(call->id, Gone()));
}

TEST_F(PendingCallsTest, APostponedCallGivesItsRoomBack) {
  PendingCalls pending({.max_unanswered_bytes = 1}, &retries_);
  const auto refused = Send(pending);
  EXPECT_FALSE(pending.HasRoom());
  EXPECT_TRUE(pending.AnswerLater(refused->id, Gone()));
  EXPECT_TRUE(pending.HasRoom());
  Send(pending);
  EXPECT_FALSE(pending.HasRoom());
  pending.LoseUnanswered(kStream, Gone());
  EXPECT_TRUE(pending.HasRoom());
  EXPECT_FALSE(pending.has_ended());
}

TEST_F(PendingCallsTest, PostponedCallsCountAmongThoseThatWait) {
  PendingCalls pending({.max_waiting = 2}, &retries_);
  Send(pending);
  pending.LoseUnanswered(kStream, Gone());
  Add(pending);
  const absl::Status full = pending.Add(MakeCall());
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_THAT(full.message(), HasSubstr("2 requests of the session wait"));
  pending.Resume(kNever);
  EXPECT_TRUE(absl::IsResourceExhausted(pending.Add(MakeCall())));
}

TEST_F(PendingCallsTest, ClosingEndsCallsWhereverTheyAre) {
  PendingCalls pending({}, &retries_);
  const auto postponed = Send(pending);
  ASSERT_TRUE(pending.AnswerLater(postponed->id, Gone()));
  const auto unanswered = Send(pending);
  const auto waiting = Add(pending);
  pending.EndAll(absl::CancelledError("closed"));
  EXPECT_THAT(pending.TakeEnded(), ElementsAre(waiting, postponed, unanswered));
  EXPECT_EQ(pending.NextResume(), kNever);
}

TEST_F(PendingCallsTest, WhatWasNotSentTakesNothingOfTheBudget) {
  while (retries_.Delay(Gone(), 1, kNever).has_value()) {
  }
  PendingCalls pending({}, &retries_);
  const auto sent = Send(pending);
  Add(pending);
  pending.LoseWaiting(Gone());
  EXPECT_FALSE(pending.has_ended());
  pending.LoseUnanswered(kStream, Gone());
  EXPECT_THAT(pending.TakeEnded(), ElementsAre(sent));
}

TEST_F(PendingCallsTest, ADeadlineEndsACallWhereverItIs) {
  PendingCalls pending({}, &retries_);
  const absl::Time soon = absl::Now() + absl::Minutes(1);
  std::vector<PendingCalls::Call> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(MakeCall("r", soon));
  ASSERT_TRUE(pending.Add(calls[0]).ok() && pending.Add(calls[1]).ok());
  pending.NextMessage(kStream, kAnyBytes);
  ASSERT_TRUE(pending.AnswerLater(calls[0]->id, Gone()));
  ASSERT_TRUE(pending.Add(calls[2]).ok());
  const absl::Time first = pending.FirstDeadline();
  EXPECT_LE(first, SteadyNow() + absl::Minutes(1));
  pending.EndExpired(first - absl::Nanoseconds(1));
  EXPECT_FALSE(pending.has_ended());
  pending.EndExpired(first + absl::Seconds(1));
  EXPECT_THAT(pending.TakeEnded(), UnorderedElementsAreArray(calls));
  EXPECT_EQ(pending.FirstDeadline(), kNever);
  pending.Resume(kNever);
  EXPECT_FALSE(pending.Waits(kAnyBytes));            // they are over
  EXPECT_EQ(pending.Answer(calls[1]->id), nullptr);  // the answer is dropped
}

}  // namespace
}  // namespace lossd::client
