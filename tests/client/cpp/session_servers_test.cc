// Tests sessions of several servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cpp/client.h"
#include "client/cpp/retries.h"
#include "client/cpp/session.h"
#include "tests/client/cpp/session_fixture.h"

namespace lossd::client {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kLong = absl::Minutes(1);  // a test has failed by then
constexpr int64_t kNoBound = int64_t{1} << 30;

// Refuses each request of a message for a millisecond.
v1::ComputeLossesResponse RefusalsOf(const v1::ComputeLossesRequest& request,
                                     grpc::StatusCode code) {
  v1::ComputeLossesResponse answers;
  for (const auto& entry : request.entries()) {
    auto& answer = *answers.add_entries();
    answer.set_id(entry.id());
    answer.mutable_failure()->set_code(code);
    answer.mutable_failure()->mutable_retry_delay()->set_nanos(1'000'000);
  }
  return answers;
}

class SessionServersTest : public SessionTest {
 protected:
  // Starts a server that may be one of several for the client.
  void StartOneOfSeveral(
      FakeSessionServer::Handler handler,
      const SessionOptions& options = {.greeting_timeout = kLong},
      const FakeSessionServer::Options& server = {}) {
    server_ = std::make_unique<FakeSessionServer>(std::move(handler), server);
    client_ = *Client::Create({.target = "dns:///" + server_->target()});
    session_ = *client_->StartSession(options);
  }

  // Starts a request and returns when it has ended.
  absl::Status SendAndWait() {
    const auto result = std::make_shared<absl::Status>();
    const auto ended = std::make_shared<absl::Notification>();
    session_->ComputeLossAsync(request_, {}, [=](const auto& answer) {
      *result = answer.status();
      ended->Notify();
    });
    if (ended->WaitForNotificationWithTimeout(kLong)) return *result;
    return absl::DeadlineExceededError("it has not ended");
  }

  std::atomic<int> streams_ = 0;
  absl::Notification read_;
};

// gRPC keeps what it may have to send again, until the server has begun to
// answer. Tensors that it keeps look like those that the server has not read.
TEST_F(SessionServersTest, AStreamThatIsReadGivesTensorsBackBeforeItsAnswers) {
  StartOneOfSeveral(
      [&](Stream& stream) {
        if (++streams_ > 1) return AnswerAll(stream);
        v1::ComputeLossesRequest both;
        v1::ComputeLossesRequest request;
        while (both.entries_size() < 2 && stream.Read(&request)) {
          both.MergeFrom(request);
        }
        read_.Notify();
        over_.WaitForNotification();
        stream.Write(AnswersTo(both));
        return AnswerAll(stream);
      },
      {.own_call_above_bytes = kNoBound, .greeting_timeout = kLong});
  const std::vector<float> large = Zeros(1 << 21);
  absl::Notification cancelled;
  const CallHandle handle = session_->ComputeLossAsync(
      {.logits = TensorView::Of<float>(large),
       .targets = TensorView::Of<float>(large)},
      {}, [&](const auto& result) {
        EXPECT_TRUE(absl::IsCancelled(result.status()));
        cancelled.Notify();
      });
  Send();
  read_.WaitForNotification();
  handle.Cancel();
  cancelled.WaitForNotification();
  over_.Notify();
  EXPECT_TRUE(Statuses()[0].ok()) << Statuses()[0];
  EXPECT_EQ(streams_, 1);
}

TEST_F(SessionServersTest, WhatWaitsForAStreamThatDoesNotBeginWaitsForTheNext) {
  StartOneOfSeveral(
      [&](Stream& stream) {
        if (++streams_ <= 2) return grpc::Status(grpc::UNAVAILABLE, "starting");
        stream.SendInitialMetadata();
        return AnswerAll(stream);
      },
      {.max_unanswered = 1, .greeting_timeout = kLong}, {.greets = false});
  for (int i = 0; i < 10; ++i) Send();
  for (const absl::Status& status : Statuses()) EXPECT_TRUE(status.ok());
  EXPECT_EQ(streams_, 3);
}

// One of them may be back soon.
TEST_F(SessionServersTest, WithoutAServerWhatWaitsIsTriedAgainBeforeItFails) {
  StartOneOfSeveral(AnswerAll);
  server_.reset();
  const absl::Time before = absl::Now();
  for (int i = 0; i < 10; ++i) Send();
  for (const absl::Status& status : Statuses()) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  }
  // Four delays of 0.1 s, 0.2 s, 0.4 s and 0.8 s, with jitter.
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(1199));
}

TEST_F(SessionServersTest, ADrainingServerDoesNotHoldWhatAnotherOneTakes) {
  StartOneOfSeveral([&](Stream& stream) {
    if (++streams_ > 1) return AnswerAll(stream);
    v1::ComputeLossesRequest takes_long;
    stream.Read(&takes_long);
    read_.Notify();
    v1::ComputeLossesRequest refused;
    stream.Read(&refused);
    v1::ComputeLossesResponse answers = AnswersTo(refused);
    for (auto& answer : *answers.mutable_entries()) {
      answer.mutable_failure()->set_code(grpc::UNAVAILABLE);
    }
    stream.Write(answers);
    over_.WaitForNotification();
    stream.Write(AnswersTo(takes_long));
    return grpc::Status::OK;
  });
  Send();
  read_.WaitForNotification();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(SendAndWait().ok());
  over_.Notify();
  EXPECT_TRUE(Statuses()[0].ok()) << Statuses()[0];
  EXPECT_EQ(streams_, 2);
}

TEST_F(SessionServersTest, AStreamThatWasLeftAndOwesNothingEnds) {
  absl::Notification ended;
  StartOneOfSeveral([&](Stream& stream) {
    if (++streams_ > 1) return AnswerAll(stream);
    v1::ComputeLossesRequest request;
    stream.Read(&request);
    stream.Write(RefusalsOf(request, grpc::UNAVAILABLE));
    EXPECT_FALSE(stream.Read(&request));
    ended.Notify();
    return grpc::Status::OK;
  });
  EXPECT_TRUE(SendAndWait().ok());
  EXPECT_TRUE(ended.WaitForNotificationWithTimeout(kLong));
}

TEST_F(SessionServersTest, ARefusalWithADelayIsSentAgainOnTheSameStream) {
  StartOneOfSeveral([&](Stream& stream) {
    ++streams_;
    v1::ComputeLossesRequest request;
    stream.Read(&request);
    stream.Write(RefusalsOf(request, grpc::RESOURCE_EXHAUSTED));
    return AnswerAll(stream);
  });
  EXPECT_TRUE(SendAndWait().ok());
  EXPECT_EQ(streams_, 1);
}

TEST_F(SessionServersTest, AnswersGiveTheBudgetBackThatRefusalsTook) {
  std::atomic<int> refusals = 0;
  StartOneOfSeveral([&](Stream& stream) {
    v1::ComputeLossesRequest request;
    while (stream.Read(&request)) {
      const bool refuses = refusals > 0;
      if (refuses) refusals -= request.entries_size();
      stream.Write(refuses ? RefusalsOf(request, grpc::RESOURCE_EXHAUSTED)
                           : AnswersTo(request));
    }
    return grpc::Status::OK;
  });
  // Each request of these takes four, and the budget has 4,096.
  constexpr int kEmptying = 1024;
  refusals = kEmptying * Retries::kMostAttempts;
  for (int i = 0; i < kEmptying; ++i) Send();
  for (const absl::Status& status : Statuses()) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  }
  EXPECT_EQ(refusals, 0);
  refusals = 1;
  EXPECT_TRUE(absl::IsResourceExhausted(SendAndWait()));
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(SendAndWait().ok());
  refusals = 1;
  EXPECT_TRUE(SendAndWait().ok());
}

TEST_F(SessionServersTest, ClosingEndsStreamsThatWereLeftToo) {
  StartOneOfSeveral([&](Stream& stream) {
    if (++streams_ > 1) return AnswerAll(stream);
    v1::ComputeLossesRequest request;
    stream.Read(&request);
    read_.Notify();
    stream.Read(&request);
    v1::ComputeLossesResponse answers = AnswersTo(request);
    answers.mutable_entries(0)->mutable_failure()->set_code(grpc::UNAVAILABLE);
    stream.Write(answers);
    over_.WaitForNotification();
    return grpc::Status::OK;
  });
  Send();
  read_.WaitForNotification();
  EXPECT_TRUE(SendAndWait().ok());
  session_->Close();
  EXPECT_TRUE(absl::IsCancelled(Statuses()[0]));
  over_.Notify();
}

TEST_F(SessionServersTest, AServerThatAcceptsAndDoesNotAnswerIsLeft) {
  StartOneOfSeveral(
      [&](Stream& stream) {
        if (++streams_ > 1) {
          stream.SendInitialMetadata();
          return AnswerAll(stream);
        }
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      {.greeting_timeout = absl::Milliseconds(200)}, {.greets = false});
  EXPECT_TRUE(SendAndWait().ok());
  EXPECT_GE(streams_, 2);
  over_.Notify();
}

TEST_F(SessionServersTest, ServersThatNeverAnswerAreNamed) {
  StartOneOfSeveral(
      [&](Stream&) {
        ++streams_;
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      {.greeting_timeout = absl::Milliseconds(1)}, {.greets = false});
  const absl::Status status = SendAndWait();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(status.message(), HasSubstr("SessionOptions::greeting_timeout"));
  EXPECT_LE(streams_, Retries::kMostAttempts);
  over_.Notify();
}

TEST_F(SessionServersTest, OneServerMayTakeItsTimeToAnswer) {
  server_ = std::make_unique<FakeSessionServer>(
      [&](Stream&) {
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      FakeSessionServer::Options{.greets = false});
  client_ = *Client::Create({.target = server_->target()});
  session_ =
      *client_->StartSession({.greeting_timeout = absl::Milliseconds(1)});
  const CallOptions soon = {.deadline = absl::Now() + absl::Milliseconds(50)};
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(session_->ComputeLoss(request_, soon).status()));
  over_.Notify();
}

TEST_F(SessionServersTest, WithoutAConnectionNoServerIsLeft) {
  StartOneOfSeveral(AnswerAll, {.wait_for_ready = true,
                                .greeting_timeout = absl::Milliseconds(1)});
  server_.reset();
  const CallOptions soon = {.deadline = absl::Now() + absl::Milliseconds(50)};
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(session_->ComputeLoss(request_, soon).status()));
}

// Which server a session asks is gRPC's to choose.
TEST_F(SessionServersTest, ALimitIsThatOfTheServerThatHasTheStream) {
  std::atomic<int> low = 0;
  std::atomic<int> high = 0;
  const auto counting = [](std::atomic<int>& streams) {
    return [&streams](Stream& stream) {
      ++streams;
      return AnswerAll(stream);
    };
  };
  FakeSessionServer first(counting(low), {.max_message_bytes = 1000});
  FakeSessionServer second(counting(high), {.max_message_bytes = 100000});
  client_ = *Client::Create(
      {.target = absl::StrCat(first.target(), ",", second.target())});
  const std::vector<float> logits = Zeros(1000);
  const LossRequest request{.logits = TensorView::Of<float>(logits),
                            .targets = TensorView::Of<float>(logits)};
  int refused = 0;
  int answered = 0;
  for (int i = 0; i < 6; ++i) {
    const auto result = (*client_->StartSession())->ComputeLoss(request);
    answered += result.ok();
    refused += absl::IsResourceExhausted(result.status());
  }
  EXPECT_EQ(answered + refused, 6);
  EXPECT_EQ(refused, low);
  EXPECT_EQ(answered, high);
}

}  // namespace
}  // namespace lossd::client
