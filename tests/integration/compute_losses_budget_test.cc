// Tests that the byte budget counts what a ComputeLosses stream holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "tests/integration/entry_stream.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

constexpr uint64_t kEntries = 4000;

// A client that writes one message of many entries and reads no answer until it
// is told to. Flow control takes 64 KiB of answers, so most entries wait.
class Writer {
 public:
  explicit Writer(RunningServer& server)
      : stub_(v1::LossService::NewStub(server.AnotherConnection(Narrow()))),
        stream_(*stub_) {
    for (uint64_t id = 1; id <= kEntries; ++id) {
      AddEntry(id, SomeRequest(100), &message_);
    }
    EXPECT_TRUE(stream_.Write(message_));
  }

  EntryStream& stream() { return stream_; }
  int64_t message_bytes() const {
    return static_cast<int64_t>(message_.ByteSizeLong());
  }
  // Reads an answer to every entry. Returns how many were refused with `code`;
  // the others are answered.
  uint64_t ReadAll(StatusCode code) {
    uint64_t refused = 0;
    for (const auto& [id, answer] : stream_.Read(kEntries)) {
      if (answer.has_response()) continue;
      ++refused;
      EXPECT_EQ(answer.failure().code(), code) << answer.failure().message();
      failure_ = answer.failure();
    }
    return refused;
  }
  // The last failure that was read.
  const v1::Failure& failure() const { return failure_; }

 private:
  static grpc::ChannelArguments Narrow() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return arguments;
  }

  std::unique_ptr<v1::LossService::Stub> stub_;
  EntryStream stream_;
  v1::ComputeLossesRequest message_;
  v1::Failure failure_;
};

class ComputeLossesBudget : public testing::Test {
 protected:
  // Waits until all of a message is charged.
  static void AwaitCharged(RunningServer& server, int64_t bytes) {
    ASSERT_TRUE(server.WithinAnswers(
        [&] { return server.server().inflight_bytes() >= bytes; }));
  }
  static void ExpectNothingHeld(RunningServer& server) {
    EXPECT_TRUE(server.WaitUntilIdle());
    EXPECT_EQ(server.server().inflight_bytes(), 0);
  }
};

TEST_F(ComputeLossesBudget, CountsEntriesThatWaitUntilTheyAreAnswered) {
  RunningServer server;
  Writer writer(server);
  AwaitCharged(server, writer.message_bytes());
  EXPECT_EQ(writer.ReadAll(StatusCode::OK), 0U);
  ExpectNothingHeld(server);
  EXPECT_TRUE(writer.stream().Finish().ok());
}

TEST_F(ComputeLossesBudget, CountsNothingOfACancelledStream) {
  RunningServer server;
  Writer writer(server);
  AwaitCharged(server, writer.message_bytes());
  writer.stream().context().TryCancel();
  ExpectNothingHeld(server);
}

TEST_F(ComputeLossesBudget, CountsNothingOfAStreamThatIsEndedAsIdle) {
  Config config;
  config.stream_idle_timeout = absl::Milliseconds(20);
  RunningServer server(config);
  Writer writer(server);
  EXPECT_TRUE(server.WithinAnswers([&] {
    return server.Counter("lossd_requests_total", "ComputeLossesStream") == 1;
  }));
  ExpectNothingHeld(server);
}

// A drain answers what was begun, and refuses what waits.
TEST_F(ComputeLossesBudget, CountsNothingAfterADrain) {
  RunningServer server;
  Writer writer(server);
  AwaitCharged(server, writer.message_bytes());
  std::thread drain([&] { server.CountAll(); });
  v1::ComputeLossResponse response;
  while (server.Call(SomeRequest(5), &response).error_code() !=
         StatusCode::UNAVAILABLE) {
  }
  EXPECT_GT(writer.ReadAll(StatusCode::UNAVAILABLE), 1000U);
  EXPECT_EQ(writer.stream().Finish().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
  EXPECT_EQ(server.server().inflight_bytes(), 0);
}

TEST_F(ComputeLossesBudget, RefusesWhatHasNoRoomToWait) {
  Config config;
  config.max_inflight_bytes = 2 << 20;
  RunningServer server(config);
  Writer writer(server);
  ASSERT_GT(writer.message_bytes(), config.max_inflight_bytes);
  const uint64_t refused = writer.ReadAll(StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_GT(refused, 0U);
  EXPECT_LT(refused, kEntries);
  EXPECT_THAT(writer.failure().message(), HasSubstr("max_inflight_bytes"));
  EXPECT_TRUE(writer.failure().has_retry_delay());
  EXPECT_TRUE(writer.stream().Finish().ok());
  ExpectNothingHeld(server);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_rejected_total"),
            static_cast<double>(refused));
}

// No stream waits for the bytes that another one holds: what has no room is
// refused at once.
TEST_F(ComputeLossesBudget, TwoStreamsThatFillItAreBothAnswered) {
  Config config;
  config.max_inflight_bytes = 6 << 20;
  RunningServer server(config);
  Writer first(server);
  Writer second(server);
  ASSERT_GT(first.message_bytes(), config.max_inflight_bytes / 2);
  std::thread reader([&] { first.ReadAll(StatusCode::RESOURCE_EXHAUSTED); });
  second.ReadAll(StatusCode::RESOURCE_EXHAUSTED);
  reader.join();
  EXPECT_TRUE(first.stream().Finish().ok());
  EXPECT_TRUE(second.stream().Finish().ok());
  ExpectNothingHeld(server);
}

}  // namespace
}  // namespace lossd
