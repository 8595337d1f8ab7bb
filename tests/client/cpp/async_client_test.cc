#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "client/cpp/client.h"
#include "tests/client/cpp/fake_loss_server.h"

namespace lossd::client {
namespace {

// Holds handlers until the test lets them go, and tells when one began.
struct Stall {
  absl::once_flag first;
  absl::Notification began;
  absl::Notification over;

  grpc::Status operator()() {
    absl::call_once(first, [this] { began.Notify(); });
    over.WaitForNotification();
    return grpc::Status::CANCELLED;
  }
};

std::unique_ptr<Client> ClientOf(const FakeLossServer& server) {
  auto client = Client::Create({.target = server.target(), .channels = 2});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

TEST(AsyncClientTest, EveryCallbackRunsExactlyOnce) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server);
  constexpr int kCalls = 200;
  const std::vector<float> logits(3000, 2.0f);
  std::vector<std::atomic<int>> runs(kCalls);
  std::atomic<int> right = 0;
  absl::BlockingCounter done(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    client->ComputeLossAsync({.logits = TensorView::Of<float>(logits),
                              .targets = TensorView::Of<float>(logits)},
                             {.request_id = absl::StrCat(i)},
                             [&, i](absl::StatusOr<LossResult> result) {
                               ++runs[static_cast<size_t>(i)];
                               right += result.ok() &&
                                        result->request_id == absl::StrCat(i);
                               done.DecrementCount();
                             });
  }
  done.Wait();
  client.reset();
  EXPECT_EQ(right, kCalls);
  for (const auto& count : runs) EXPECT_EQ(count, 1);
}

TEST(AsyncClientTest, CancelEndsACallInFlight) {
  Stall stall;
  FakeLossServer server([&](auto&, const auto&, auto&) { return stall(); });
  auto client = ClientOf(server);
  // These are too large to be copied into the message.
  const std::vector<float> logits(100'000);
  absl::Notification done;
  absl::Status status;
  CallHandle handle =
      client->ComputeLossAsync({.logits = TensorView::Of<float>(logits),
                                .targets = TensorView::Of<float>(logits)},
                               {}, [&](absl::StatusOr<LossResult> result) {
                                 status = result.status();
                                 done.Notify();
                               });
  stall.began.WaitForNotification();
  handle.Cancel();
  done.WaitForNotification();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  handle.Cancel();  // over: does nothing
  client.reset();
  handle.Cancel();  // nor does it without a client
  stall.over.Notify();
}

TEST(AsyncClientTest, DestroyingTheClientCancelsWhatIsInFlight) {
  Stall stall;
  FakeLossServer server([&](auto&, const auto&, auto&) { return stall(); });
  auto client = ClientOf(server);
  const std::vector<float> logits(100'000);
  std::atomic<int> cancelled = 0;
  for (int i = 0; i < 4; ++i) {
    client->ComputeLossAsync({.logits = TensorView::Of<float>(logits),
                              .targets = TensorView::Of<float>(logits)},
                             {}, [&](absl::StatusOr<LossResult> result) {
                               cancelled += absl::IsCancelled(result.status());
                             });
  }
  stall.began.WaitForNotification();
  client.reset();
  EXPECT_EQ(cancelled, 4);
  stall.over.Notify();
}

TEST(AsyncClientTest, ACallbackMayStartTheNextCall) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server);
  const std::vector<float> logits(10);
  const LossRequest request{.logits = TensorView::Of<float>(logits),
                            .targets = TensorView::Of<float>(logits)};
  absl::Notification second;
  client->ComputeLossAsync(request, {}, [&](const auto& first) {
    EXPECT_TRUE(first.ok());
    client->ComputeLossAsync(request, {}, [&](const auto& result) {
      EXPECT_TRUE(result.ok());
      second.Notify();
    });
  });
  second.WaitForNotification();
}

}  // namespace
}  // namespace lossd::client
