// Tests how sessions, their streams and their servers end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cpp/session.h"
#include "tests/client/cpp/session_fixture.h"

namespace lossd::client {
namespace {

using testing::HasSubstr;

TEST_F(SessionTest, AStreamThatEndsFailsWhatItWasGivenAndTheNextOneServes) {
  std::atomic<int> streams = 0;
  Start([&](Stream& stream) {
    if (++streams > 1) return AnswerAll(stream);
    v1::ComputeLossesRequest request;
    stream.Read(&request);
    return grpc::Status(grpc::UNAVAILABLE, "draining");
  });
  const auto lost = session_->ComputeLoss(request_);
  EXPECT_TRUE(absl::IsUnavailable(lost.status()));
  EXPECT_THAT(lost.status().message(),
              HasSubstr("may be sent again: draining"));
  EXPECT_TRUE(session_->ComputeLoss(request_).ok());
  EXPECT_EQ(streams, 2);
}

TEST_F(SessionTest, AnErrorOfTheStreamIsThatOfItsRequests) {
  Start([](Stream&) {
    return grpc::Status(grpc::UNAUTHENTICATED, "who is there?");
  });
  Send();
  EXPECT_EQ(Statuses()[0].code(), absl::StatusCode::kUnauthenticated);
}

// The request had no deadline, so it cannot have passed.
TEST_F(SessionTest, AStreamThatWasIdleTooLongIsUnavailable) {
  Start([](Stream&) {
    return grpc::Status(grpc::DEADLINE_EXCEEDED, "idle for a minute");
  });
  Send();
  EXPECT_TRUE(absl::IsUnavailable(Statuses()[0]));
  EXPECT_THAT(Statuses()[0].message(), HasSubstr("idle for a minute"));
}

TEST_F(SessionTest, ALargeRequestWaitsForAServerIfTheSessionDoes) {
  Start(AnswerAll, {.own_call_above_bytes = 1, .wait_for_ready = true});
  server_.reset();
  const CallOptions soon = {.deadline = absl::Now() + absl::Milliseconds(50)};
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(session_->ComputeLoss(request_, soon).status()));
}

TEST_F(SessionTest, ALargeRequestAfterTheEndIsCancelled) {
  Start(AnswerAll, {.own_call_above_bytes = 1});
  session_->Close();
  EXPECT_TRUE(absl::IsCancelled(session_->ComputeLoss(request_).status()));
}

TEST_F(SessionTest, WithoutAServerARequestIsUnavailable) {
  Start(AnswerAll);
  server_.reset();
  EXPECT_TRUE(absl::IsUnavailable(session_->ComputeLoss(request_).status()));
}

TEST_F(SessionTest, ClosingCancelsWhatIsOutstanding) {
  Start(
      [&](Stream&) {
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      {.max_unanswered = 2, .own_call_above_bytes = 1 << 20});
  for (int i = 0; i < 5; ++i) Send();
  session_->Close();
  {
    absl::MutexLock lock(&mu_);
    EXPECT_EQ(statuses_.size(), sent_);
  }
  Send();  // after the end
  for (const auto& status : Statuses()) EXPECT_TRUE(absl::IsCancelled(status));
  session_->Close();
  over_.Notify();
}

TEST_F(SessionTest, AFutureOutlivesItsSessionAndItsClient) {
  Start([&](Stream&) {
    over_.WaitForNotification();
    return grpc::Status::OK;
  });
  auto result = session_->Submit(request_);
  session_.reset();
  client_.reset();
  EXPECT_TRUE(absl::IsCancelled(result.get().status()));
  over_.Notify();
}

// The capture is seen from outside, because its destructor must not still run.
TEST_F(SessionTest, CapturesOfLargeRequestsAreGoneWhenTheSessionIs) {
  Start(AnswerAll, {.own_call_above_bytes = 1});
  for (int trial = 0; trial < 500; ++trial) {
    auto capture = std::make_shared<int>(trial);
    const std::weak_ptr<int> seen = capture;
    session_->ComputeLossAsync(request_, {},
                               [capture = std::move(capture)](const auto&) {});
    session_->Close();
    ASSERT_TRUE(seen.expired()) << "trial " << trial;
    session_ = *client_->StartSession({.own_call_above_bytes = 1});
  }
}

TEST_F(SessionTest, AnIdleSessionHalfClosesItsStream) {
  absl::Notification ended;
  Start([&](Stream& stream) {
    const grpc::Status status = AnswerAll(stream);
    ended.Notify();
    return status;
  });
  EXPECT_TRUE(session_->ComputeLoss(request_).ok());
  session_.reset();
  ended.WaitForNotification();
}

}  // namespace
}  // namespace lossd::client
