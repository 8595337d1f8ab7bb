// Tests admission, flow control, cancellation, drain and counts of streams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "server/rpc/stream_window.h"
#include "tests/integration/loss_stream.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

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
  RunningServer server(OneRpcThread());
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  ASSERT_TRUE(server.WaitForTaken(1));
  // Windows with their results, as much input again, and the header are
  // charged.
  const auto windows =
      static_cast<int64_t>(rpc::kWindowElements * rpc::kMaxWindows);
  EXPECT_GE(server.server().inflight_bytes(), windows * (8 + 4 + 8));
  EXPECT_LE(server.server().inflight_bytes(), windows * (8 + 4 + 8) + 10000);
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(server.WaitUntilIdle());
  EXPECT_EQ(server.server().inflight_bytes(), 0);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_requests_total", "CANCELLED"), 1);
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

TEST(StreamFlow, AFullBudgetIncludesTheRetryDelay) {
  Config config = OneRpcThread();
  config.max_inflight_requests = 1;
  RunningServer server(config);
  OpenStream first(server);
  ASSERT_TRUE(first.Write(HeaderOfElements(1000)));
  ASSERT_TRUE(server.WaitForTaken(1));
  OpenStream second(server);
  second.Write(HeaderOfElements(1000));
  EXPECT_EQ(second.Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(second.context().GetServerTrailingMetadata().count(
                "grpc-retry-pushback-ms"),
            1U);
  first.context().TryCancel();
}

// A stream of equal chunks whose gradients are read when the test says so.
class LongStream {
 public:
  static constexpr int64_t kChunks = 400;  // each has 1 MiB of input

  explicit LongStream(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(v1::LossService::NewStub(channel)), stream_(*stub_) {
    EXPECT_TRUE(
        stream_.Write(HeaderOfElements(kChunks * rpc::kWindowElements)));
    writer_ = std::thread([this] {
      const v1::StreamLossRequest chunk =
          ChunkOf(SomeRequest(rpc::kWindowElements), 0, 1);
      while (written_ < kChunks && stream_.Write(chunk)) ++written_;
      stream_.WritesDone();
    });
  }

  int64_t written() const { return written_; }

  void ExpectAllOfIt() {
    uint64_t gradient = 0;
    v1::StreamLossResponse response;
    bool summary = false;
    while (stream_.Read(&response)) {
      gradient += response.gradient().size();
      summary |= response.has_summary();
    }
    writer_.join();
    EXPECT_TRUE(stream_.Finish().ok());
    EXPECT_TRUE(summary);
    EXPECT_EQ(gradient, uint64_t{4} * kChunks * rpc::kWindowElements);
  }

 private:
  const std::unique_ptr<v1::LossService::Stub> stub_;
  OpenStream stream_;
  std::atomic<int64_t> written_{0};
  std::thread writer_;
};

// The transport on both sides holds some megabytes of its own; the tensor is
// far larger. Connections take turns, so a stream that is computed without
// being read would be as far as a second one that is read.
TEST(StreamFlow, AClientThatDoesNotReadIsNeitherReadFromNorComputedFor) {
  constexpr auto kElements =
      static_cast<double>(LongStream::kChunks * rpc::kWindowElements);
  RunningServer server;
  LongStream unread(server.channel());
  LongStream(server.AnotherConnection()).ExpectAllOfIt();
  EXPECT_LT(unread.written(), LongStream::kChunks);
  EXPECT_LT(server.Counter("lossd_elements_total"), kElements * 3 / 2);
  EXPECT_LT(server.server().inflight_bytes(), 32 << 20);
  // The stream goes on when it is read again.
  unread.ExpectAllOfIt();
}

// A stream with a window that waits in the queue, in a batch that is held open.
// It came in one message with a window that fills a batch by itself: once that
// one's gradient is here, the message has been read.
class StreamThatWaits {
 public:
  StreamThatWaits() : server_(HoldingConfig()), stream_(server_) {
    constexpr auto kElements = static_cast<int64_t>(rpc::kWindowElements + 20);
    EXPECT_TRUE(stream_.Write(HeaderOfElements(kElements)));
    EXPECT_TRUE(stream_.Write(ChunkOf(SomeRequest(kElements), 0, 1)));
    v1::StreamLossResponse response;
    EXPECT_TRUE(stream_.Read(&response));
    EXPECT_EQ(response.gradient().size(), 4 * rpc::kWindowElements);
  }
  RunningServer& server() { return server_; }
  OpenStream& stream() { return stream_; }

 private:
  static Config HoldingConfig() {
    Config config;
    config.cpu_threads = 1;  // two would share the first window
    config.max_queue_delay = absl::Seconds(10);
    config.max_batch_elements = rpc::kWindowElements;
    return config;
  }
  RunningServer server_;
  OpenStream stream_;
};

TEST(StreamFlow, ACancelledStreamLeavesTheQueue) {
  StreamThatWaits waiting;
  waiting.stream().context().TryCancel();
  EXPECT_EQ(waiting.stream().Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(waiting.server().WaitUntilIdle());
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
  RunningServer server(OneRpcThread());
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(server.WaitForTaken(1));
  server.server().BeginDrain();
  EXPECT_EQ(RunStream(server, Cut(SomeRequest(10), 5)).status.error_code(),
            StatusCode::UNAVAILABLE);
  EXPECT_TRUE(stream.Write(ChunkOf(SomeRequest(20), 0, 1)));
  stream.WritesDone();
  const grpc::Status status = stream.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(server.server().Shutdown(absl::Seconds(20)));
}

TEST(StreamDrain, EndsAStreamThatOutlastsIt) {
  RunningServer server(OneRpcThread());
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(server.WaitForTaken(1));
  EXPECT_FALSE(server.server().Shutdown(absl::ZeroDuration()));
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST(StreamDrain, DropsWindowsThatStillWait) {
  StreamThatWaits waiting;
  EXPECT_FALSE(waiting.server().server().Shutdown(absl::ZeroDuration()));
  EXPECT_EQ(waiting.stream().Finish().error_code(), StatusCode::UNAVAILABLE);
}

// Good, bad, cancelled and late streams run at once. RunningServer's destructor
// checks that every permit came back.
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
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_accepted_total"),
            server.Counter("lossd_requests_total"));
  EXPECT_GE(server.Counter("lossd_requests_total", "OK"), ok.load());
}

}  // namespace
}  // namespace lossd
