// Tests sessions whose server is away, does not read, or has a low limit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cpp/call_status.h"
#include "client/cpp/client.h"
#include "client/cpp/session.h"
#include "tests/client/cpp/session_fixture.h"
#include "tests/client/cpp/stalled_peer.h"

namespace lossd::client {
namespace {

using testing::HasSubstr;

CallOptions Soon() {
  return {.deadline = absl::Now() + absl::Milliseconds(30)};
}

constexpr int64_t kNoBound = int64_t{1} << 30;

// Answers one message, so that the client has an open stream when it goes on.
void AnswerOne(Stream& stream) {
  v1::ComputeLossesRequest request;
  if (stream.Read(&request)) stream.Write(AnswersTo(request));
}

// Requests whose tensors gRPC would keep: they are not copied, and larger than
// the windows and buffers on the way.
class LargeSessionTest : public SessionTest {
 protected:
  const std::vector<float> large_ = Zeros(1 << 23);  // 32 MiB
  const LossRequest large_request_{.logits = TensorView::Of<float>(large_),
                                   .targets = TensorView::Of<float>(large_)};
};

TEST_F(LargeSessionTest, ADeadlineEndsARequestThatWaitsForAServer) {
  Start(AnswerAll, {.own_call_above_bytes = kNoBound, .wait_for_ready = true});
  server_.reset();
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      session_->ComputeLoss(large_request_, Soon()).status()));
}

TEST_F(LargeSessionTest, CancelEndsARequestThatWaitsForAServer) {
  Start(AnswerAll, {.own_call_above_bytes = kNoBound, .wait_for_ready = true});
  server_.reset();
  absl::Notification cancelled;
  session_
      ->ComputeLossAsync(large_request_, {},
                         [&](const auto& result) {
                           EXPECT_TRUE(absl::IsCancelled(result.status()));
                           cancelled.Notify();
                         })
      .Cancel();
  cancelled.WaitForNotification();
}

TEST_F(LargeSessionTest, AServerThatOnlyAcceptsHoldsNoTensors) {
  StalledPeer peer;
  client_ = *Client::Create({.target = peer.target()});
  session_ = *client_->StartSession({.own_call_above_bytes = kNoBound});
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      session_->ComputeLoss(large_request_, Soon()).status()));
  peer.Abandon();
  session_.reset();
  client_.reset();
}

TEST_F(LargeSessionTest, ADeadlineEndsARequestThatTheServerDoesNotRead) {
  std::atomic<int> streams = 0;
  Start(
      [&](Stream& stream) {
        if (++streams > 1) return AnswerAll(stream);
        AnswerOne(stream);
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      {.own_call_above_bytes = kNoBound});
  ASSERT_TRUE(session_->ComputeLoss(request_).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      session_->ComputeLoss(large_request_, Soon()).status()));
  EXPECT_TRUE(session_->ComputeLoss(request_).ok());
  EXPECT_EQ(streams, 2);
  over_.Notify();
}

TEST_F(LargeSessionTest, CancelEndsARequestThatTheServerDoesNotRead) {
  std::atomic<int> streams = 0;
  Start(
      [&](Stream& stream) {
        if (++streams > 1) return AnswerAll(stream);
        AnswerOne(stream);
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      {.own_call_above_bytes = kNoBound});
  ASSERT_TRUE(session_->ComputeLoss(request_).ok());
  absl::Notification cancelled;
  const CallHandle handle =
      session_->ComputeLossAsync(large_request_, {}, [&](const auto& result) {
        EXPECT_TRUE(absl::IsCancelled(result.status()));
        cancelled.Notify();
      });
  Send();  // goes into no message while the large one is being written
  handle.Cancel();
  cancelled.WaitForNotification();
  EXPECT_TRUE(Statuses()[0].ok()) << Statuses()[0];
  over_.Notify();
}

TEST_F(LargeSessionTest, OthersOfAStreamThatIsNotReadMayBeSentAgain) {
  absl::Notification read;
  Start(
      [&](Stream& stream) {
        v1::ComputeLossesRequest request;
        stream.Read(&request);
        read.Notify();
        over_.WaitForNotification();
        return grpc::Status::OK;
      },
      {.own_call_above_bytes = kNoBound});
  Send();
  read.WaitForNotification();
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      session_->ComputeLoss(large_request_, Soon()).status()));
  EXPECT_TRUE(absl::IsUnavailable(Statuses()[0])) << Statuses()[0];
  EXPECT_THAT(Statuses()[0].message(), HasSubstr("does not read"));
  over_.Notify();
}

TEST_F(LargeSessionTest, ARequestAboveTheServersLimitFailsAlone) {
  server_ = std::make_unique<FakeSessionServer>(
      AnswerAll, FakeSessionServer::Options{.max_message_bytes = 1 << 20});
  client_ = *Client::Create({.target = server_->target()});
  session_ = *client_->StartSession({.own_call_above_bytes = kNoBound});
  for (int i = 0; i < 10; ++i) Send();
  const auto result = session_->ComputeLoss(large_request_);
  for (int i = 0; i < 10; ++i) Send();
  EXPECT_TRUE(absl::IsResourceExhausted(result.status()));
  EXPECT_FALSE(RetryAfter(result.status()).has_value());
  EXPECT_THAT(result.status().message(),
              HasSubstr("the server takes messages of at most 1048576 bytes"));
  for (const absl::Status& status : Statuses()) EXPECT_TRUE(status.ok());
}

TEST_F(SessionTest, NoMessageIsLargerThanTheServersLimit) {
  constexpr int64_t kLimit = 1000;
  std::atomic<size_t> largest = 0;
  server_ = std::make_unique<FakeSessionServer>(
      [&](Stream& stream) {
        v1::ComputeLossesRequest request;
        while (stream.Read(&request)) {
          largest = std::max(largest.load(), request.ByteSizeLong());
          stream.Write(AnswersTo(request));
        }
        return grpc::Status::OK;
      },
      FakeSessionServer::Options{.max_message_bytes = kLimit});
  client_ = *Client::Create({.target = server_->target()});
  session_ = *client_->StartSession();
  for (int i = 0; i < 200; ++i) Send();
  for (const absl::Status& status : Statuses()) EXPECT_TRUE(status.ok());
  EXPECT_LE(largest, size_t{kLimit});
  EXPECT_GT(largest, size_t{kLimit} / 2);
}

}  // namespace
}  // namespace lossd::client
