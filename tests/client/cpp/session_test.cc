#include "client/cpp/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cpp/call_status.h"
#include "client/cpp/client.h"
#include "tests/client/cpp/session_fixture.h"

namespace lossd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(SessionTest, ABlockingRequestGetsItsAnswer) {
  Start(AnswerAll);
  std::vector<float> gradient(5);
  auto result = session_->ComputeLoss(
      request_, {.request_id = "r",
                 .gradient_destination =
                     std::as_writable_bytes(std::span<float>(gradient))});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->loss, 1);
  EXPECT_EQ(result->request_id, "r");
  EXPECT_EQ(gradient, logits_);
}

TEST_F(SessionTest, AMessageThatExistsIsSentAsItIs) {
  Start(AnswerAll);
  v1::ComputeLossRequest request;
  request.set_request_id("here");
  auto result = session_->ComputeLoss(request, {.request_id = "not here"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->request_id, "here");
}

TEST_F(SessionTest, FuturesHaveTheOutcomes) {
  Start(AnswerAll);
  LossRequest wrong = request_;
  wrong.spec.set_focal_gamma(2);
  auto first = session_->Submit(request_);
  auto refused = session_->Submit(wrong);
  auto second = session_->Submit(v1::ComputeLossRequest());
  EXPECT_EQ(second.get()->loss, 2);
  EXPECT_EQ(first.get()->loss, 1);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.get().status()));
}

// The server lets nothing more through than the windows of the transport, so
// the first message is under way until it reads.
TEST_F(SessionTest, RequestsCoalesceWhileAWriteIsUnderWay) {
  absl::Notification all_waiting;
  std::vector<int> sizes;
  Start([&](Stream& stream) {
    all_waiting.WaitForNotification();
    v1::ComputeLossesRequest request;
    while (stream.Read(&request)) {
      sizes.push_back(request.entries_size());
      stream.Write(AnswersTo(request));
    }
    return grpc::Status::OK;
  });
  const std::vector<float> large = Zeros(1 << 19);  // 2 MiB, twice
  absl::Notification large_done;
  session_->ComputeLossAsync({.logits = TensorView::Of<float>(large),
                              .targets = TensorView::Of<float>(large)},
                             {}, [&](const auto& result) {
                               EXPECT_TRUE(result.ok()) << result.status();
                               large_done.Notify();
                             });
  for (int i = 0; i < 300; ++i) Send();
  all_waiting.Notify();
  large_done.WaitForNotification();
  for (const absl::Status& status : Statuses()) EXPECT_TRUE(status.ok());
  session_.reset();
  server_.reset();
  // The large one alone, then as many as SessionOptions lets in a message.
  EXPECT_THAT(sizes, ElementsAre(1, 256, 44));
}

TEST_F(SessionTest, WhatCallbacksStartGoesTogether) {
  std::vector<int> sizes;
  Start([&](Stream& stream) {
    // The first two are answered together, however they come.
    v1::ComputeLossesRequest both;
    v1::ComputeLossesRequest request;
    while (both.entries_size() < 2 && stream.Read(&request)) {
      both.MergeFrom(request);
    }
    stream.Write(AnswersTo(both));
    while (stream.Read(&request)) {
      sizes.push_back(request.entries_size());
      stream.Write(AnswersTo(request));
    }
    return grpc::Status::OK;
  });
  absl::BlockingCounter done(2);
  for (int i = 0; i < 2; ++i) {
    session_->ComputeLossAsync(request_, {}, [&](const auto&) {
      session_->ComputeLossAsync(request_, {},
                                 [&](const auto&) { done.DecrementCount(); });
    });
  }
  done.Wait();
  session_.reset();
  server_.reset();
  EXPECT_THAT(sizes, ElementsAre(2));
}

TEST_F(SessionTest, NoMoreAreUnansweredThanTheBound) {
  Start(
      [&](Stream& stream) {
        v1::ComputeLossesRequest request;
        while (stream.Read(&request)) {
          EXPECT_LE(request.entries_size(), 3);
          stream.Write(AnswersTo(request));
        }
        return grpc::Status::OK;
      },
      {.max_unanswered = 3});
  for (int i = 0; i < 100; ++i) Send();
  for (const absl::Status& status : Statuses()) EXPECT_TRUE(status.ok());
}

// Sessions of which one request is unanswered and two may wait.
class FullSessionTest : public SessionTest {
 protected:
  // Sends a request that is answered when `over_` is notified, and returns when
  // the server has it.
  void StartWithOneUnanswered() {
    Start(
        [&](Stream& stream) {
          v1::ComputeLossesRequest request;
          stream.Read(&request);
          read_.Notify();
          over_.WaitForNotification();
          stream.Write(AnswersTo(request));
          return AnswerAll(stream);
        },
        {.max_unanswered = 1, .max_waiting = 2});
    Send();
    read_.WaitForNotification();
  }

  absl::Notification read_;
};

TEST_F(FullSessionTest, TooManyWaitingRequestsAreRefused) {
  StartWithOneUnanswered();
  for (int i = 0; i < 3; ++i) Send();
  over_.Notify();
  const std::vector<absl::Status> statuses = Statuses();
  EXPECT_TRUE(absl::IsResourceExhausted(statuses.front()));
  EXPECT_FALSE(RetryAfter(statuses.front()).has_value());
  EXPECT_THAT(statuses.front().message(), HasSubstr("max_waiting"));
  for (size_t i = 1; i < 4; ++i) EXPECT_TRUE(statuses[i].ok());
}

TEST_F(FullSessionTest, ACancelledRequestLeavesItsPlaceToAnother) {
  StartWithOneUnanswered();
  Send();
  Send().Cancel();
  Send();
  over_.Notify();
  const std::vector<absl::Status> statuses = Statuses();
  EXPECT_TRUE(absl::IsCancelled(statuses.front()));
  for (size_t i = 1; i < 4; ++i) EXPECT_TRUE(statuses[i].ok());
}

TEST_F(SessionTest, AFailureIsThatOfItsEntryAlone) {
  Start([&](Stream& stream) {
    v1::ComputeLossesRequest request;
    while (stream.Read(&request)) {
      v1::ComputeLossesResponse answers = AnswersTo(request);
      for (auto& answer : *answers.mutable_entries()) {
        if (answer.response().request_id() != "bad") continue;
        answer.mutable_failure()->set_code(grpc::RESOURCE_EXHAUSTED);
        answer.mutable_failure()->set_message("full");
        answer.mutable_failure()->mutable_retry_delay()->set_nanos(1500000);
      }
      stream.Write(answers);
    }
    return grpc::Status::OK;
  });
  const auto bad = session_->ComputeLoss(request_, {.request_id = "bad"});
  EXPECT_TRUE(absl::IsResourceExhausted(bad.status()));
  EXPECT_EQ(bad.status().message(), "full");
  EXPECT_EQ(RetryAfter(bad.status()), absl::Microseconds(1500));
  EXPECT_TRUE(session_->ComputeLoss(request_).ok());
}

TEST_F(SessionTest, ACancelledRequestEndsAndItsAnswerIsDropped) {
  absl::Notification cancelled;
  Start([&](Stream& stream) {
    v1::ComputeLossesRequest request;
    stream.Read(&request);
    cancelled.WaitForNotification();
    stream.Write(AnswersTo(request));
    return AnswerAll(stream);
  });
  const CallHandle handle = Send();
  handle.Cancel();
  EXPECT_TRUE(absl::IsCancelled(Statuses()[0]));
  cancelled.Notify();
  EXPECT_TRUE(session_->ComputeLoss(request_).ok());
  handle.Cancel();  // over: does nothing
  session_.reset();
  handle.Cancel();  // nor does it without a session
}

TEST_F(SessionTest, ADeadlineEndsARequestThatIsNotAnswered) {
  Start([&](Stream&) {
    over_.WaitForNotification();
    return grpc::Status::OK;
  });
  const auto result = session_->ComputeLoss(
      request_, {.deadline = absl::Now() + absl::Milliseconds(20)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  over_.Notify();
}

TEST_F(SessionTest, TheTimeoutIsWhatIsLeftUntilTheDeadline) {
  std::vector<google::protobuf::Duration> timeouts;
  Start([&](Stream& stream) {
    v1::ComputeLossesRequest request;
    while (stream.Read(&request)) {
      if (request.entries(0).has_timeout()) {
        timeouts.push_back(request.entries(0).timeout());
      }
      stream.Write(AnswersTo(request));
    }
    return grpc::Status::OK;
  });
  EXPECT_TRUE(session_->ComputeLoss(request_).ok());
  EXPECT_TRUE(
      session_
          ->ComputeLoss(request_, {.deadline = absl::Now() + absl::Hours(1)})
          .ok());
  session_.reset();
  server_.reset();
  ASSERT_EQ(timeouts.size(), 1U);
  EXPECT_GT(timeouts[0].seconds(), 1800);
  EXPECT_LE(timeouts[0].seconds(), 3600);
}

TEST_F(SessionTest, ALargeRequestIsACallOfItsOwn) {
  Start([](Stream&) { return grpc::Status(grpc::INTERNAL, "not this way"); },
        {.own_call_above_bytes = 1000});
  const std::vector<float> large(300);
  const LossRequest request{.logits = TensorView::Of<float>(large),
                            .targets = TensorView::Of<float>(large)};
  auto result = session_->ComputeLoss(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->loss, 7);
  absl::Notification done;
  session_->ComputeLossAsync(request, {}, [&](const auto& answer) {
    EXPECT_TRUE(answer.ok());
    done.Notify();
  });
  done.WaitForNotification();
}

TEST_F(SessionTest, ALargeMessageThatExistsIsACallOfItsOwn) {
  Start([](Stream&) { return grpc::Status(grpc::INTERNAL, "not this way"); },
        {.own_call_above_bytes = 1000});
  v1::ComputeLossRequest request;
  request.mutable_logits()->set_data(std::string(1001, '\0'));
  const auto result = session_->ComputeLoss(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->loss, 7);
}

TEST_F(SessionTest, AGarbledAnswerEndsTheStreamAsInternal) {
  Start([](Stream& stream) {
    v1::ComputeLossesRequest request;
    v1::ComputeLossesResponse answers;
    stream.Read(&request);
    answers.add_entries()->set_id(1);  // no outcome
    stream.Write(answers);
    return grpc::Status::OK;
  });
  Send();
  EXPECT_EQ(Statuses()[0].code(), absl::StatusCode::kInternal);
}

TEST(SessionOptionsTest, ABoundBelowOneIsNamed) {
  auto client = *Client::Create({.target = "localhost:1"});
  const auto session = client->StartSession({.max_message_entries = 0});
  EXPECT_TRUE(absl::IsInvalidArgument(session.status()));
  EXPECT_THAT(session.status().message(), HasSubstr("max_message_entries: 0"));
}

TEST(SessionOptionsTest, MoreEntriesThanAServerTakesInAMessageAreNamed) {
  auto client = *Client::Create({.target = "localhost:1"});
  EXPECT_TRUE(client->StartSession({.max_message_entries = 16384}).ok());
  const auto session = client->StartSession({.max_message_entries = 16385});
  EXPECT_TRUE(absl::IsInvalidArgument(session.status()));
  EXPECT_EQ(session.status().message(),
            "max_message_entries: 16385, must be at most 16384");
}

TEST(SessionOptionsTest, ATimeThatIsNotAboveZeroIsNamed) {
  auto client = *Client::Create({.target = "localhost:1"});
  const auto session =
      client->StartSession({.greeting_timeout = absl::ZeroDuration()});
  EXPECT_TRUE(absl::IsInvalidArgument(session.status()));
  EXPECT_EQ(session.status().message(), "greeting_timeout: 0, must be above 0");
}

TEST_F(SessionTest, AParameterOfAnotherLossIsRefusedWithoutSending) {
  Start(AnswerAll);
  LossRequest request = request_;
  request.spec.set_focal_gamma(2);
  EXPECT_TRUE(absl::IsInvalidArgument(session_->ComputeLoss(request).status()));
}

// If callbacks called each other, the stack would end.
TEST_F(SessionTest, ARefusedRequestOfACallbackIsNotReportedInIt) {
  Start(AnswerAll);
  LossRequest wrong = request_;
  wrong.spec.set_focal_gamma(2);
  constexpr int kTimes = 50000;
  int times = 0;
  absl::Notification done;
  std::function<void()> next = [&] {
    if (++times == kTimes) return done.Notify();
    session_->ComputeLossAsync(wrong, {}, [&](const auto&) { next(); });
  };
  session_->ComputeLossAsync(request_, {}, [&](const auto&) { next(); });
  done.WaitForNotification();
  session_.reset();
  EXPECT_EQ(times, kTimes);
}

}  // namespace
}  // namespace lossd::client
