// A stream in time: admission, flow control, cancellation, drain, counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "server/rpc/stream_loss_call.h"
#include "tests/integration/loss_stream.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

v1::StreamLossRequest HeaderOfElements(int64_t elements) {
  v1::StreamLossRequest message = HeaderOf(SomeRequest(1));
  message.mutable_header()->set_shape(0, elements);
  message.mutable_header()->clear_targets_shape();
  return message;
}

TEST(StreamFlow, GradientsComeBackWhileTheTensorStillArrives) {
  RunningServer server;
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(rpc::kWindowElements * 3)));
  v1::StreamLossRequest chunk =
      ChunkOf(SomeRequest(rpc::kWindowElements), 0, 1);
  ASSERT_TRUE(stream.Write(chunk));
  v1::StreamLossResponse response;
  ASSERT_TRUE(stream.Read(&response));
  EXPECT_EQ(response.gradient().size(), 4 * rpc::kWindowElements);
  ASSERT_TRUE(stream.Write(chunk));
  ASSERT_TRUE(stream.Read(&response));
  EXPECT_EQ(response.gradient().size(), 4 * rpc::kWindowElements);
  ASSERT_TRUE(stream.Write(chunk));
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(StreamFlow, IsChargedForItsWindowsAndNotForTheTensor) {
  RunningServer server;
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  ASSERT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == 1; }));
  // Windows with their results, as much input again, and the header.
  const auto windows =
      static_cast<int64_t>(rpc::kWindowElements * rpc::kMaxWindows);
  EXPECT_GE(server.server().inflight_bytes(), windows * (8 + 4 + 8));
  EXPECT_LE(server.server().inflight_bytes(), windows * (8 + 4 + 8) + 10000);
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_bytes() == 0; }));
  EXPECT_TRUE(RunningServer::Eventually([&] {
    return server.Counter("lossd_requests_total", "CANCELLED") == 1;
  }));
}

TEST(StreamFlow, ALargeMessageIsChargedAsLongAsItIsHeld) {
  Config config;
  config.max_inflight_bytes = 12 << 20;
  RunningServer server(config);
  const v1::ComputeLossRequest request = SomeRequest(2000000);
  const StreamAnswer whole = RunStream(server, Cut(request, 2000000));
  EXPECT_EQ(whole.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(whole.status.error_message(), HasSubstr("max_inflight_bytes"));
  EXPECT_EQ(server.Counter("lossd_rejected_total", "bytes"), 1);
  const StreamAnswer small = RunStream(server, Cut(request, 50000));
  EXPECT_TRUE(small.status.ok()) << small.status.error_message();
}

TEST(StreamFlow, AFullBudgetSaysWhenToComeAgain) {
  Config config;
  config.max_inflight_requests = 1;
  RunningServer server(config);
  OpenStream first(server);
  ASSERT_TRUE(first.Write(HeaderOfElements(1000)));
  ASSERT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == 1; }));
  OpenStream second(server);
  second.Write(HeaderOfElements(1000));
  EXPECT_EQ(second.Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(second.context().GetServerTrailingMetadata().count(
                "grpc-retry-pushback-ms"),
            1U);
  first.context().TryCancel();
}

// The transport on both sides holds some megabytes of its own; the tensor is
// far larger.
TEST(StreamFlow, AClientThatDoesNotReadIsNeitherReadFromNorComputedFor) {
  RunningServer server;
  OpenStream stream(server);
  constexpr int64_t kChunks = 400;  // of 1 MiB of input each
  ASSERT_TRUE(stream.Write(HeaderOfElements(kChunks * rpc::kWindowElements)));
  const v1::StreamLossRequest chunk =
      ChunkOf(SomeRequest(rpc::kWindowElements), 0, 1);
  std::atomic<int64_t> written{0};
  std::thread writer([&] {
    while (written < kChunks && stream.Write(chunk)) ++written;
    stream.WritesDone();
  });
  // It comes to rest: nothing is received between many looks.
  double received = -1;
  int unchanged = 0;
  ASSERT_TRUE(RunningServer::Eventually([&] {
    const double now = server.Counter("lossd_received_bytes_total");
    unchanged = now == received && now > 0 ? unchanged + 1 : 0;
    received = now;
    return unchanged == 100;
  }));
  EXPECT_LT(written, kChunks);
  EXPECT_LT(server.Counter("lossd_elements_total"),
            static_cast<double>(kChunks * rpc::kWindowElements) / 2);
  EXPECT_LT(server.server().inflight_bytes(), 32 << 20);
  // And goes on when it is read again.
  uint64_t gradient = 0;
  v1::StreamLossResponse response;
  bool summary = false;
  while (stream.Read(&response)) {
    gradient += response.gradient().size();
    summary |= response.has_summary();
  }
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_TRUE(summary);
  EXPECT_EQ(gradient, uint64_t{4} * kChunks * rpc::kWindowElements);
}

TEST(StreamFlow, ACancelledStreamLeavesTheQueue) {
  Config config;
  config.max_queue_delay = absl::Seconds(10);
  RunningServer server(config);
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(stream.Write(ChunkOf(SomeRequest(20), 0, 1)));
  ASSERT_TRUE(RunningServer::Eventually([&] {
    return server.Counter("lossd_received_bytes_total") > 160 &&
           server.server().inflight_requests() == 1;
  }));
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == 0; }));
}

TEST(StreamFlow, ADeadlineEndsAnIdleStream) {
  RunningServer server;
  const StreamAnswer answer =
      RunStream(server, {}, [](grpc::ClientContext& context) {
        context.set_deadline(std::chrono::system_clock::now() -
                             std::chrono::seconds(1));
      });
  EXPECT_EQ(answer.status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  OpenStream stream(server);
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
}

TEST(StreamDrain, FinishesAnAcceptedStreamAndRefusesNewOnes) {
  RunningServer server;
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == 1; }));
  std::thread drain(
      [&] { EXPECT_TRUE(server.server().Shutdown(absl::Seconds(20))); });
  EXPECT_TRUE(RunningServer::Eventually([&] {
    return RunStream(server, Cut(SomeRequest(10), 5)).status.error_code() ==
           StatusCode::UNAVAILABLE;
  }));
  EXPECT_TRUE(stream.Write(ChunkOf(SomeRequest(20), 0, 1)));
  stream.WritesDone();
  const grpc::Status status = stream.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  drain.join();
}

TEST(StreamDrain, EndsAStreamThatItsTimeDoesNotSufficeFor) {
  RunningServer server;
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == 1; }));
  EXPECT_FALSE(server.server().Shutdown(absl::ZeroDuration()));
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST(StreamDrain, DropsWindowsThatStillWait) {
  Config config;
  config.max_queue_delay = absl::Seconds(10);
  RunningServer server(config);
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(stream.Write(ChunkOf(SomeRequest(20), 0, 1)));
  ASSERT_TRUE(RunningServer::Eventually(
      [&] { return server.Counter("lossd_received_bytes_total") > 160; }));
  EXPECT_FALSE(server.server().Shutdown(absl::ZeroDuration()));
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::UNAVAILABLE);
}

// Good, bad, cancelled and too late ones at once. RunningServer's destructor
// looks for what did not come back.
TEST(StreamStorm, EveryStreamIsCountedOnce) {
  Config config;
  config.max_inflight_requests = 6;
  RunningServer server(config);
  std::atomic<int> ok{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < 8; ++t) {
    clients.emplace_back([&server, &ok, t] {
      for (int i = 0; i < 25; ++i) {
        Messages messages = Cut(SomeRequest(i % 5 == 0 ? 300000 : 3000),
                                i % 2 == 0 ? 777 : 60000);
        const int what = (t + i) % 5;
        if (what == 1) messages.pop_back();
        if (what == 3) {
          OpenStream stream(server);
          stream.Write(messages[0]);
          stream.Write(messages[1]);
          stream.context().TryCancel();
          stream.Finish();
          continue;
        }
        const StreamAnswer answer =
            RunStream(server, messages, [&](grpc::ClientContext& context) {
              if (what == 2) {
                context.set_deadline(std::chrono::system_clock::now() +
                                     std::chrono::microseconds(300));
              }
            });
        ok += answer.status.ok();
        if (what == 1) {
          EXPECT_FALSE(answer.status.ok());
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(ok, 0);
  EXPECT_TRUE(RunningServer::Eventually([&] {
    return server.Counter("lossd_accepted_total") ==
           server.Counter("lossd_requests_total");
  }));
  EXPECT_GE(server.Counter("lossd_requests_total", "OK"), ok.load());
}

}  // namespace
}  // namespace lossd
