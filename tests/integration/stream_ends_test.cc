// Tests streams that end before their tensor does, and odd ways to cut a
// tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "server/rpc/stream_window.h"
#include "tests/integration/loss_stream.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

void ExpectNothingHeld(RunningServer& server) {
  EXPECT_TRUE(server.WaitUntilIdle());
  EXPECT_EQ(server.server().inflight_bytes(), 0);
}

TEST(StreamEnds, ACancelledStreamThatWasHalfComputedGivesEverythingBack) {
  RunningServer server;
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(rpc::kWindowElements * 8)));
  // The chunk holds a window and a part of the next one.
  ASSERT_TRUE(
      stream.Write(ChunkOf(SomeRequest(rpc::kWindowElements + 99), 0, 1)));
  v1::StreamLossResponse response;
  ASSERT_TRUE(stream.Read(&response));
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  ExpectNothingHeld(server);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_requests_total", "CANCELLED"), 1);
}

TEST(StreamEnds, ACancelledStreamThatDidNotReadGivesEverythingBack) {
  RunningServer server;
  OpenStream stream(server);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  const v1::StreamLossRequest chunk =
      ChunkOf(SomeRequest(rpc::kWindowElements), 0, 1);
  constexpr int kWritten = 5;
  absl::BlockingCounter to_write(kWritten);
  std::thread writer([&] {
    for (int i = 0; stream.Write(chunk); ++i) {
      if (i < kWritten) to_write.DecrementCount();
    }
  });
  to_write.Wait();
  stream.context().TryCancel();
  writer.join();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  ExpectNothingHeld(server);
}

// The deadlines fall into different stages of the stream.
TEST(StreamEnds, AStreamEndsAtItsDeadlineWhereverItIs) {
  Config config;
  config.max_queue_delay = absl::Seconds(10);
  config.stream_idle_timeout = absl::ZeroDuration();
  RunningServer server(config);
  for (const int milliseconds : {1, 50, 200}) {
    OpenStream stream(server, std::chrono::system_clock::now() +
                                  std::chrono::milliseconds(milliseconds));
    stream.Write(HeaderOfElements(2 * rpc::kWindowElements));
    // One window waits for its batch to fill, and one for the rest of its
    // bytes.
    stream.Write(ChunkOf(SomeRequest(rpc::kWindowElements + 99), 0, 1));
    EXPECT_EQ(stream.Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
    ExpectNothingHeld(server);
  }
}

TEST(StreamEnds, AHugeTensorThatStopsComingIsRefusedWithItsSizes) {
  RunningServer server;
  const StreamAnswer answer = RunStream(
      server,
      {HeaderOfElements(int64_t{1} << 40), ChunkOf(SomeRequest(1000), 0, 1)});
  EXPECT_EQ(answer.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(),
              HasSubstr("ended after 4000 bytes, but float32 of shape "
                        "[1099511627776] takes 4398046511104"));
  ExpectNothingHeld(server);
}

TEST(StreamEnds, AHeaderAfterTheLastChunkIsRefusedAsASecondOne) {
  RunningServer server;
  const v1::ComputeLossRequest request = SomeRequest(1000);
  Messages messages = Cut(request, 1000);
  messages.push_back(messages[0]);
  const StreamAnswer answer = RunStream(server, messages);
  EXPECT_EQ(answer.status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("a second one"));
  EXPECT_FALSE(answer.summary.has_value());
}

class WaysToCut : public testing::Test {
 protected:
  void ExpectTheUnaryGradient(const Messages& messages) {
    v1::ComputeLossResponse unary;
    ASSERT_TRUE(server_.Call(request_, &unary).ok());
    const StreamAnswer answer = RunStream(server_, messages);
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_TRUE(answer.gradient == unary.gradient().data());
    EXPECT_EQ(answer.summary->loss(), unary.loss());
  }

  RunningServer server_;
  const v1::ComputeLossRequest request_ = SomeRequest(5000);
};

TEST_F(WaysToCut, ChunksWithoutBytesAreIgnored) {
  v1::StreamLossRequest no_tensors;
  no_tensors.mutable_chunk();
  v1::StreamLossRequest empty_tensors = no_tensors;
  empty_tensors.mutable_chunk()->set_logits("");
  empty_tensors.mutable_chunk()->set_targets("");
  // Weights do not come in chunks here, but no bytes of them are no mistake.
  empty_tensors.mutable_chunk()->set_weights("");
  Messages messages;
  for (const v1::StreamLossRequest& message : Cut(request_, 1000)) {
    messages.push_back(message);
    messages.push_back(no_tensors);
    messages.push_back(empty_tensors);
  }
  ExpectTheUnaryGradient(messages);
}

// Every chunk but the first begins inside an element of each tensor.
TEST_F(WaysToCut, ChunksMayEndInsideElements) {
  const std::string& logits = request_.logits().data();
  const std::string& targets = request_.targets().data();
  Messages messages = {HeaderOf(request_)};
  for (size_t at = 0; at < logits.size();) {
    const size_t size = at == 0 ? 4001 : 4000;
    v1::StreamLossRequest message;
    message.mutable_chunk()->set_logits(logits.substr(at, size));
    message.mutable_chunk()->set_targets(targets.substr(at, size));
    messages.push_back(message);
    at += size;
  }
  ExpectTheUnaryGradient(messages);
}

TEST_F(WaysToCut, TensorsMayComeOneAfterAnother) {
  v1::StreamLossRequest logits;
  logits.mutable_chunk()->set_logits(request_.logits().data());
  v1::StreamLossRequest targets;
  targets.mutable_chunk()->set_targets(request_.targets().data());
  ExpectTheUnaryGradient({HeaderOf(request_), logits, targets});
  ExpectTheUnaryGradient({HeaderOf(request_), targets, logits});
}

}  // namespace
}  // namespace lossd
