#include "client/cpp/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cpp/call_status.h"
#include "tests/client/cpp/fake_loss_server.h"

namespace lossd::client {
namespace {

std::unique_ptr<Client> ClientOf(const FakeLossServer& server,
                                 int channels = 1) {
  auto client =
      Client::Create({.target = server.target(), .channels = channels});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

TEST(ClientTest, SendsTheTensorsAndReturnsTheAnswer) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server);
  std::vector<float> logits(100'000);
  std::vector<float> targets(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i);
  auto result = client->ComputeLoss({.logits = TensorView::Of<float>(logits),
                                     .targets = TensorView::Of<float>(targets)},
                                    {.request_id = "r1"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->loss, 1.5);
  EXPECT_EQ(result->request_id, "r1");
  const auto gradient = result->gradient->As<float>();
  ASSERT_TRUE(gradient.ok());
  EXPECT_TRUE(std::ranges::equal(*gradient, logits));
}

TEST(ClientTest, CopiesTheGradientWhereTheCallerWantsIt) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server);
  const std::vector<float> logits = {1, 2, 3};
  std::vector<float> gradient(3);
  const LossRequest request{.logits = TensorView::Of<float>(logits),
                            .targets = TensorView::Of<float>(logits)};
  const auto destination = std::as_writable_bytes(std::span(gradient));
  EXPECT_TRUE(
      client->ComputeLoss(request, {.gradient_destination = destination}).ok());
  EXPECT_EQ(gradient, logits);
  EXPECT_EQ(
      client
          ->ComputeLoss(request, {.gradient_destination = destination.first(8)})
          .status()
          .message(),
      "gradient_destination: the destination has 8 bytes, the tensor has "
      "12");
}

TEST(ClientTest, AcceptsAMessageThatIsAlreadyThere) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server);
  v1::ComputeLossRequest request;
  request.mutable_logits()->add_values(0.5);
  auto result = client->ComputeLoss(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ((*result->gradient->As<double>())[0], 0.5);
}

TEST(ClientTest, ADeadlineEndsACallWhoseServerDoesNotAnswer) {
  absl::Notification released;
  FakeLossServer server([&](auto&, const auto&, auto&) {
    released.WaitForNotification();
    return grpc::Status::OK;
  });
  auto client = ClientOf(server);
  const std::vector<float> logits(100'000);
  const auto result =
      client->ComputeLoss({.logits = TensorView::Of<float>(logits),
                           .targets = TensorView::Of<float>(logits)},
                          {.deadline = absl::Now() + absl::Milliseconds(50)});
  released.Notify();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(ClientTest, TheServerSeesDeadlineTokenJobAndUserAgent) {
  std::string token;
  std::string job;
  std::string user_agent;
  bool has_deadline = false;
  FakeLossServer server([&](grpc::ServerContext& context, const auto&, auto&) {
    const auto& metadata = context.client_metadata();
    const auto authorization = metadata.find("authorization")->second;
    token.assign(authorization.data(), authorization.size());
    const auto named = metadata.find("lossd-job")->second;
    job.assign(named.data(), named.size());
    const auto agent = metadata.find("user-agent")->second;
    user_agent.assign(agent.data(), agent.size());
    has_deadline =
        context.deadline() != std::chrono::system_clock::time_point::max();
    return grpc::Status::OK;
  });
  auto client = Client::Create(
      {.target = server.target(), .token = "secret", .job = "run 7"});
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE((*client)
                  ->ComputeLoss(v1::ComputeLossRequest(),
                                {.deadline = absl::Now() + absl::Minutes(1)})
                  .ok());
  EXPECT_EQ(token, "Bearer secret");
  EXPECT_EQ(job, "run 7");
  EXPECT_EQ(user_agent.rfind("lossd-cpp ", 0), 0u) << user_agent;
  EXPECT_TRUE(has_deadline);
}

TEST(ClientTest, TheServerSeesTheTraceOfTheCaller) {
  std::vector<std::string> seen;
  FakeLossServer server([&](grpc::ServerContext& context, const auto&, auto&) {
    const auto [first, end] =
        context.client_metadata().equal_range("traceparent");
    for (auto it = first; it != end; ++it) {
      seen.emplace_back(it->second.data(), it->second.size());
    }
    return grpc::Status::OK;
  });
  auto client = ClientOf(server);
  const v1::ComputeLossRequest request;
  EXPECT_TRUE(client->ComputeLoss(request, {.traceparent = "00-a-b-01"}).ok());
  EXPECT_TRUE(client->ComputeLoss(request).ok());
  EXPECT_THAT(seen, testing::ElementsAre("00-a-b-01"));
  absl::Status status =
      client->ComputeLoss(request, {.traceparent = "00\n"}).status();
  EXPECT_EQ(status.message(),
            "traceparent: must be printable ASCII, or it cannot be sent");
  status = absl::OkStatus();
  client->ComputeLossAsync(
      request, {.traceparent = "\xff"},
      [&](absl::StatusOr<LossResult> result) { status = result.status(); });
  EXPECT_TRUE(absl::IsInvalidArgument(status));
}

TEST(ClientTest, AnErrorKeepsItsCodeItsMessageAndTheServersDelay) {
  FakeLossServer server([](grpc::ServerContext& context, const auto&, auto&) {
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "250");
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue is full");
  });
  auto client = ClientOf(server);
  const auto status = client->ComputeLoss(v1::ComputeLossRequest()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "queue is full");
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(250));
}

TEST(ClientTest, NeverRetriesByItself) {
  std::atomic<int> calls = 0;
  FakeLossServer server([&](grpc::ServerContext& context, const auto&, auto&) {
    ++calls;
    context.AddTrailingMetadata("grpc-retry-pushback-ms", "1");
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  });
  auto client = ClientOf(server);
  EXPECT_FALSE(client->ComputeLoss(v1::ComputeLossRequest()).ok());
  EXPECT_EQ(calls, 1);
}

TEST(ClientTest, EveryChannelIsAConnectionOfItsOwnAndTheyTakeTurns) {
  std::mutex mutex;
  std::map<std::string, int> calls;
  FakeLossServer server([&](grpc::ServerContext& context, const auto&, auto&) {
    const std::lock_guard lock(mutex);
    ++calls[context.peer()];
    return grpc::Status::OK;
  });
  auto client = ClientOf(server, 3);
  for (int i = 0; i < 6; ++i) {
    EXPECT_TRUE(client->ComputeLoss(v1::ComputeLossRequest()).ok());
  }
  EXPECT_EQ(calls.size(), 3u);
  for (const auto& [peer, count] : calls) EXPECT_EQ(count, 2) << peer;
}

TEST(ClientTest, ThreadsShareAClient) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server, 2);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::vector<double> logits(2000, t);
      for (int i = 0; i < 25; ++i) {
        auto result =
            client->ComputeLoss({.logits = TensorView::Of<double>(logits),
                                 .targets = TensorView::Of<double>(logits)});
        right += result.ok() &&
                 std::ranges::equal(*result->gradient->As<double>(), logits);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

TEST(ClientTest, GetServerInfoAndHealthAnswer) {
  FakeLossServer server(AnswerLogits);
  auto client = ClientOf(server);
  const auto info = client->GetServerInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version(), "fake");
  EXPECT_TRUE(client->CheckHealth("").ok());
  EXPECT_EQ(client->CheckHealth("no.such.Service").code(),
            absl::StatusCode::kNotFound);
  server.server().GetHealthCheckService()->SetServingStatus(false);
  EXPECT_EQ(client->CheckHealth("").code(), absl::StatusCode::kUnavailable);
}

TEST(ClientTest, NoServerIsUnavailable) {
  auto client = Client::Create({.target = "127.0.0.1:1"});
  ASSERT_TRUE(client.ok());
  EXPECT_EQ((*client)->ComputeLoss(v1::ComputeLossRequest()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(ClientTest, OptionsThatMakeNoSenseAreNamed) {
  EXPECT_EQ(Client::Create({.target = ""}).status().message(),
            "target: must not be empty");
  for (const char* target :
       {"localhost", "::1", "::1:50051", "[::1]", "http://localhost:50051",
        "localhost:", "localhost:66000"}) {
    EXPECT_EQ(Client::Create({.target = target}).status().message(),
              absl::StrCat("target: \"", target,
                           "\" must be HOST:PORT, [IPv6]:PORT or unix:/path"));
  }
  for (const char* target : {"[::1]:50051", "dns:///loss:50051", "unix:/l"}) {
    EXPECT_TRUE(Client::Create({.target = target}).ok()) << target;
  }
  EXPECT_EQ(Client::Create({.channels = 0}).status().message(),
            "channels: 0, must be at least 1");
  EXPECT_EQ(
      Client::Create({.keepalive = absl::ZeroDuration()}).status().message(),
      "keepalive: 0, must be at least 1ms");
  EXPECT_TRUE(Client::Create({.keepalive = absl::InfiniteDuration()}).ok());
  EXPECT_EQ(Client::Create({.tls = TlsOptions{.certificate_chain = "x"}})
                .status()
                .message(),
            "tls: a certificate needs its key, and a key its certificate");
}

TEST(ClientTest, ATokenThatNoHeaderCanCarryIsRefusedAndNotShown) {
  for (const auto& [token, wrong] :
       std::vector<std::pair<std::string, std::string>>{
           {"one\ntwo", "byte 3 is 0x0a"},
           {std::string("a\0b", 3), "byte 1 is 0x00"},
           {"\xc3\xa9", "byte 0 is 0xc3"},
           {"\x7f", "byte 0 is 0x7f"}}) {
    const auto client = Client::Create({.token = token});
    ASSERT_FALSE(client.ok()) << wrong;
    EXPECT_EQ(
        client.status().message(),
        "token: " + wrong + ", and a token is one line of printable ASCII");
  }
  EXPECT_TRUE(Client::Create({.token = "!a b~"}).ok());
  EXPECT_EQ(Client::Create({.job = "a\n"}).status().message(),
            "job: byte 1 of \"a\\n\" is not a printable character of ASCII");
  EXPECT_EQ(Client::Create({.job = std::string(65, 'w')}).status().message(),
            "job: has 65 bytes, and may have 64 at most");
  EXPECT_TRUE(Client::Create({.job = std::string(64, '~')}).ok());
}

// Ends this process with 0 if what needs a thread says that there is none.
void ExitWithoutThreads() {
  auto client = *Client::Create({.target = "localhost:1"});
  // The limit does not bind root.
  constexpr uid_t kNobody = 65534;
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  if (geteuid() == 0 && setuid(kNobody) != 0) _exit(2);
  if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(3);
  absl::Status outcome;
  client->ComputeLossAsync(v1::ComputeLossRequest(), {},
                           [&](auto result) { outcome = result.status(); });
  const absl::Status session = client->StartSession().status();
  const bool right =
      absl::IsResourceExhausted(outcome) && absl::IsResourceExhausted(session);
  std::cerr << outcome << "\n" << session << "\n";
  _exit(right ? 0 : 1);
}

TEST(ClientDeathTest, WhatHasNoThreadIsAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(ExitWithoutThreads(), testing::ExitedWithCode(0),
              "no thread can be started for a session: ");
}

TEST(ClientTest, TextThatIsNotPemIsRefusedAndItsFieldNamed) {
  const auto complaint = [](const TlsOptions& tls) {
    return std::string(Client::Create({.tls = tls}).status().message());
  };
  EXPECT_EQ(complaint({.root_certificates = "x"}),
            "tls.root_certificates: has no certificate in PEM");
  EXPECT_EQ(complaint({.certificate_chain = "x", .private_key = "y"}),
            "tls.certificate_chain: has no certificate in PEM");
  EXPECT_TRUE(Client::Create({.tls = TlsOptions()}).ok());
}

}  // namespace
}  // namespace lossd::client
