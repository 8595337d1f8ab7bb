// Tests streams whose clients do nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "server/rpc/stream_window.h"
#include "tests/integration/loss_stream.h"
#include "tests/integration/stepped_server.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

TEST(StreamIdle, AServerEndsAStreamThatSendsNothing) {
  Config config;
  config.stream_idle_timeout = absl::Milliseconds(20);
  RunningServer server(config);
  OpenStream stream(server);
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_requests_total", "DEADLINE_EXCEEDED"), 1);
}

class IdleStreams : public SteppedServer {
 protected:
  using SteppedServer::SteppedServer;

  // Expects that the stream ends at the limit and not before.
  void ExpectIdle(OpenStream& stream) {
    AwaitAlarms();
    EXPECT_EQ(admission_.inflight_requests(), 1);
    time_.Advance(kLimit);
    ExpectEnd(stream);
  }
  void ExpectEnd(OpenStream& stream) {
    const grpc::Status status = stream.Finish();
    EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
    EXPECT_THAT(status.error_message(), HasSubstr("--stream_idle_timeout"));
    EXPECT_TRUE(WaitForInflight(0));
  }
};

TEST_F(IdleStreams, EndAfterTheirHeader) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(WaitForInflight(1));
  ExpectIdle(stream);
}

TEST_F(IdleStreams, EndAfterAWindow) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  ASSERT_TRUE(
      stream.Write(ChunkOf(SomeRequest(rpc::kWindowElements + 5), 0, 1)));
  v1::StreamLossResponse response;
  ASSERT_TRUE(stream.Read(&response));
  EXPECT_EQ(response.gradient().size(), 4 * rpc::kWindowElements);
  ExpectIdle(stream);
}

// The status does not wait behind gradients that nobody reads.
TEST_F(IdleStreams, EndWhenTheyDoNotRead) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  const v1::StreamLossRequest chunk =
      ChunkOf(SomeRequest(rpc::kWindowElements), 0, 1);
  std::atomic<int> written{0};
  std::thread writer([&] {
    while (stream.Write(chunk)) ++written;  // until the server ends it
  });
  // The stream rests once many alarms have come and nothing was written.
  for (int before = -1; before != written;) {
    before = written;
    for (int i = 0; i < 5; ++i) AwaitAlarms();
  }
  EXPECT_GT(written, 4);
  time_.Advance(kLimit);
  writer.join();
  ExpectEnd(stream);
}

TEST_F(IdleStreams, AreNotThoseThatSendSomethingInTime) {
  OpenStream stream(*stub_);
  const v1::ComputeLossRequest window = SomeRequest(rpc::kWindowElements);
  constexpr int kWindows = 4;
  ASSERT_TRUE(stream.Write(HeaderOfElements(kWindows * rpc::kWindowElements)));
  for (int i = 0; i < kWindows; ++i) {
    time_.Advance(kLimit * 3 / 4);
    ASSERT_TRUE(stream.Write(ChunkOf(window, 0, 1)));
    v1::StreamLossResponse response;
    ASSERT_TRUE(stream.Read(&response));
    AwaitAlarms();
  }
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
}

class HeldStreams : public IdleStreams {
 protected:
  HeldStreams() : IdleStreams(absl::Hours(1)) {}
};

TEST_F(HeldStreams, ThatWaitForTheServerAreNotIdle) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(stream.Write(ChunkOf(SomeRequest(20), 0, 1)));
  // The stream's alarms are events of the thread that enqueues the window.
  while (batcher_.queued_requests() == 0) ASSERT_TRUE(clock_.AwaitLooks(1));
  for (int i = 0; i < 3; ++i) {
    time_.Advance(10 * kLimit);
    AwaitAlarms();
    EXPECT_EQ(admission_.inflight_requests(), 1);
    EXPECT_EQ(batcher_.queued_requests(), 1);
  }
  // The stream ends with the status of its window.
  batcher_.DropQueued(absl::UnavailableError("enough"));
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace lossd
