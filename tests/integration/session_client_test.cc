// Tests sessions of the C++ client against the real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "client/cpp/client.h"
#include "tests/integration/random_request.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using client::Client;
using client::LossRequest;
using client::LossResult;
using client::Session;
using client::TensorView;

std::unique_ptr<Client> ClientOf(RunningServer& server) {
  return *Client::Create({.target = server.server().address()});
}

std::string BytesOf(std::optional<client::ReceivedTensor>& tensor) {
  if (!tensor) return "none";
  const auto bytes = tensor->Contiguous();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Returns what must be equal in two answers to a request.
std::string BitsOf(absl::StatusOr<LossResult>& result) {
  if (!result.ok()) return result.status().ToString();
  return absl::StrCat(absl::Hex(std::bit_cast<uint64_t>(result->loss)), "/",
                      result->normalizer, "/", result->valid_count, "/",
                      BytesOf(result->losses), "/", BytesOf(result->gradient),
                      "/", BytesOf(result->second_derivative));
}

TEST(SessionClient, HasTheBitsOfUnaryCallsInAnyOrder) {
  RunningServer server;
  auto client = ClientOf(server);
  auto session = *client->StartSession();
  constexpr int kRequests = 200;
  std::vector<std::string> expected(kRequests);
  std::vector<std::string> got(kRequests);
  absl::BlockingCounter left(kRequests);
  for (size_t i = 0; i < kRequests; ++i) {
    const v1::ComputeLossRequest request =
        RandomRequest(static_cast<unsigned>(i)).Make();
    auto unary = client->ComputeLoss(request);
    expected[i] = BitsOf(unary);
    session->ComputeLossAsync(request, {}, [&, i](auto result) {
      got[i] = BitsOf(result);
      left.DecrementCount();
    });
  }
  left.Wait();
  EXPECT_EQ(got, expected);
}

TEST(SessionClient, AnswersTenThousandRequestsOfEightThreads) {
  Config config;
  config.max_inflight_requests = 100000;
  RunningServer server(config);
  auto client = ClientOf(server);
  auto session = *client->StartSession();
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      // Tensors above 4 KiB are slices of this memory.
      const std::vector<float> logits(t % 2 == 0 ? 10 : 2000,
                                      static_cast<float>(t));
      const std::vector<float> targets(logits.size(), 0.5f);
      const LossRequest request{.logits = TensorView::Of<float>(logits),
                                .targets = TensorView::Of<float>(targets)};
      for (int i = 0; i < 1250; ++i) {
        const std::string id = absl::StrCat(t, ".", i);
        auto result = session->ComputeLoss(request, {.request_id = id});
        right += result.ok() && result->request_id == id &&
                 result->gradient->byte_size() == logits.size() * 4;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 10000);
  session.reset();
  EXPECT_TRUE(server.WaitUntilIdle());
}

TEST(SessionClient, AFailureNamesItsElement) {
  RunningServer server;
  auto client = ClientOf(server);
  auto session = *client->StartSession();
  const std::vector<float> logits = {0, NAN};
  const std::vector<float> targets = {0, 1};
  const LossRequest request{.logits = TensorView::Of<float>(logits),
                            .targets = TensorView::Of<float>(targets)};
  const auto result = session->ComputeLoss(request);
  EXPECT_TRUE(absl::IsInvalidArgument(result.status()));
  EXPECT_THAT(result.status().message(), testing::HasSubstr("logits[1]"));
}

TEST(SessionClient, ARequestAboveTheServersLimitFailsAlone) {
  Config config;
  config.max_message_bytes = 100000;
  RunningServer server(config);
  auto client = ClientOf(server);
  auto session = *client->StartSession();
  const v1::ComputeLossRequest small = SomeRequest(100);
  const v1::ComputeLossRequest large = SomeRequest(100000);
  std::vector<std::future<absl::StatusOr<LossResult>>> others;
  for (int i = 0; i < 50; ++i) others.push_back(session->Submit(small));
  auto refused = session->Submit(large);
  for (int i = 0; i < 50; ++i) others.push_back(session->Submit(small));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.get().status()));
  for (auto& other : others) EXPECT_TRUE(other.get().ok());
  session.reset();
  server.CountAll();
  // All answers came from one stream.
  EXPECT_EQ(server.Counter("lossd_requests_total", "ComputeLossesStream"), 1);
}

TEST(SessionClient, ADeadlineThatHasPassedIsExceeded) {
  RunningServer server;
  auto client = ClientOf(server);
  auto session = *client->StartSession();
  v1::ComputeLossRequest request = SomeRequest(5);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      session->ComputeLoss(request, {.deadline = absl::UnixEpoch()}).status()));
  EXPECT_TRUE(session->ComputeLoss(request).ok());
}

constexpr int kMany = 60;

// Starts many requests, and expects that each is answered or has the code.
void SendMany(Session& session, absl::StatusCode code,
              absl::BlockingCounter* outcomes) {
  const v1::ComputeLossRequest request = SomeRequest(100000);
  for (int i = 0; i < kMany; ++i) {
    session.ComputeLossAsync(request, {}, [=](const auto& result) {
      EXPECT_TRUE(result.ok() || result.status().code() == code)
          << result.status();
      outcomes->DecrementCount();
    });
  }
}

TEST(SessionClient, AClosedSessionLosesNoRequest) {
  Config config;
  config.max_inflight_requests = 1000;
  RunningServer server(config);
  auto client = ClientOf(server);
  auto session = *client->StartSession();
  absl::BlockingCounter outcomes(kMany);
  SendMany(*session, absl::StatusCode::kCancelled, &outcomes);
  session.reset();
  outcomes.Wait();
  EXPECT_TRUE(server.WaitUntilIdle());
}

TEST(SessionClient, ADrainedServerLosesNoRequest) {
  Config config;
  config.max_inflight_requests = 1000;
  auto server = std::make_unique<RunningServer>(config);
  auto client = ClientOf(*server);
  auto session = *client->StartSession();
  EXPECT_TRUE(session->ComputeLoss(SomeRequest(5)).ok());
  absl::BlockingCounter outcomes(kMany);
  SendMany(*session, absl::StatusCode::kUnavailable, &outcomes);
  server.reset();
  outcomes.Wait();
}

}  // namespace
}  // namespace lossd
