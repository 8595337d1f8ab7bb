// Tests many requests over one stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/wire/entry_reader.h"
#include "tests/integration/entry_stream.h"
#include "tests/integration/random_request.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

// Removes what may differ between two equal requests.
std::string BitsOf(v1::ComputeLossResponse response) {
  response.clear_execution();
  return response.SerializeAsString();
}

void ExpectNothingHeld(RunningServer& server) {
  EXPECT_TRUE(server.WaitUntilIdle());
  EXPECT_EQ(server.server().inflight_bytes(), 0);
}

class ComputeLosses : public testing::Test {
 protected:
  // Expects that the entry alone fails, and that the one beside it is answered.
  void ExpectFailure(const v1::ComputeLossesRequest::Entry& bad,
                     StatusCode code, const std::string& text) {
    v1::ComputeLossesRequest message;
    *message.add_entries() = bad;
    AddEntry(77, SomeRequest(5), &message);
    EntryStream stream(server_);
    ASSERT_TRUE(stream.Write(message));
    auto answers = stream.Read(2);
    EXPECT_TRUE(answers[77].has_response());
    const v1::Failure& failure = answers[bad.id()].failure();
    EXPECT_EQ(failure.code(), code) << failure.message();
    EXPECT_THAT(failure.message(), HasSubstr(text));
    EXPECT_TRUE(stream.Finish().ok());
    ExpectNothingHeld(server_);
  }

  RunningServer server_;
  v1::ComputeLossesRequest message_;
};

// A client waits for them before it sends anything.
TEST_F(ComputeLosses, BeginWithHeadersThatTellTheLimit) {
  Config config;
  config.max_message_bytes = 123456;
  RunningServer server(config);
  EntryStream stream(server);
  EXPECT_EQ(stream.Header("lossd-max-message-bytes"), "123456");
  EXPECT_TRUE(stream.Finish().ok());
  ExpectNothingHeld(server);
}

TEST_F(ComputeLosses, HaveTheBitsOfUnaryCalls) {
  std::mt19937 random(7);
  EntryStream stream(server_);
  std::map<uint64_t, std::string> expected;
  uint64_t id = 0;
  for (int messages = 0; messages < 20; ++messages) {
    message_.Clear();
    const unsigned entries = random() % 6;
    for (unsigned i = 0; i < entries; ++i) {
      const v1::ComputeLossRequest request = RandomRequest(random()).Make();
      v1::ComputeLossResponse response;
      ASSERT_TRUE(server_.Call(request, &response).ok());
      AddEntry(++id, request, &message_);
      expected[id] = BitsOf(response);
    }
    ASSERT_TRUE(stream.Write(message_));
  }
  auto answers = stream.Read(expected.size());
  ASSERT_EQ(answers.size(), expected.size());
  for (const auto& [number, bits] : expected) {
    EXPECT_EQ(BitsOf(answers[number].response()), bits) << number;
  }
  EXPECT_TRUE(stream.Finish().ok());
  ExpectNothingHeld(server_);
}

TEST_F(ComputeLosses, AreCountedOneByOne) {
  for (uint64_t id = 1; id <= 10; ++id) AddEntry(id, SomeRequest(9), &message_);
  message_.mutable_entries(3)->mutable_request()->clear_logits();
  {
    EntryStream stream(server_);
    ASSERT_TRUE(stream.Write(message_));
    stream.Read(10);
    EXPECT_TRUE(stream.Finish().ok());
  }
  server_.CountAll();
  EXPECT_EQ(server_.Counter("lossd_requests_total", "ComputeLosses"), 10);
  EXPECT_EQ(server_.Counter("lossd_requests_total", "INVALID_ARGUMENT"), 1);
  EXPECT_EQ(server_.Counter("lossd_requests_total", "ComputeLossesStream"), 1);
}

TEST_F(ComputeLosses, AnEntryWithoutAnIdFails) {
  ExpectFailure(AddEntry(0, SomeRequest(5), &message_),
                StatusCode::INVALID_ARGUMENT, "id: absent or 0");
}

TEST_F(ComputeLosses, AnEntryWithoutARequestFails) {
  v1::ComputeLossesRequest::Entry entry;
  entry.set_id(3);
  ExpectFailure(entry, StatusCode::INVALID_ARGUMENT, "logits");
}

TEST_F(ComputeLosses, AnInvalidEntryFails) {
  v1::ComputeLossRequest request = SomeRequest(5);
  request.mutable_targets()->mutable_data()->pop_back();
  ExpectFailure(AddEntry(3, request, &message_), StatusCode::INVALID_ARGUMENT,
                "targets.data: 19 bytes");
}

TEST_F(ComputeLosses, ABadElementFails) {
  v1::ComputeLossRequest request = SomeRequest(5);
  SetFloats(request.mutable_logits(), {5}, {0, 0, NAN, 0, 0});
  ExpectFailure(AddEntry(3, request, &message_), StatusCode::INVALID_ARGUMENT,
                "logits[2]");
}

TEST_F(ComputeLosses, ATimeoutOfZeroHasPassed) {
  AddEntry(3, SomeRequest(5), &message_).mutable_timeout();
  ExpectFailure(message_.entries(0), StatusCode::DEADLINE_EXCEEDED, "deadline");
}

TEST_F(ComputeLosses, ANegativeTimeoutFails) {
  AddEntry(3, SomeRequest(5), &message_).mutable_timeout()->set_nanos(-1);
  ExpectFailure(message_.entries(0), StatusCode::INVALID_ARGUMENT,
                "timeout: 0 s and -1 ns");
}

TEST_F(ComputeLosses, AnEntryOverTheWholeBudgetFailsWithoutARetryDelay) {
  Config config;
  config.max_inflight_bytes = 1 << 16;
  RunningServer server(config);
  EntryStream stream(server);
  AddEntry(3, SomeRequest(1 << 16), &message_);
  ASSERT_TRUE(stream.Write(message_));
  const v1::Failure failure = stream.Read(1)[3].failure();
  EXPECT_EQ(failure.code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(failure.has_retry_delay());
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ComputeLosses, EntriesBeyondTheBudgetFailWithARetryDelay) {
  Config config;
  config.max_inflight_requests = 4;
  RunningServer server(config);
  EntryStream stream(server);
  for (uint64_t id = 1; id <= 50; ++id) AddEntry(id, SomeRequest(5), &message_);
  ASSERT_TRUE(stream.Write(message_));
  int answered = 0;
  for (const auto& [id, answer] : stream.Read(50)) {
    if (answer.has_response()) {
      ++answered;
      continue;
    }
    EXPECT_EQ(answer.failure().code(), StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_TRUE(answer.failure().has_retry_delay());
  }
  EXPECT_GT(answered, 0);
  EXPECT_LE(answered, 4);
  EXPECT_TRUE(stream.Finish().ok());
  ExpectNothingHeld(server);
}

TEST_F(ComputeLosses, AnIdMayComeAgainOnceItIsAnswered) {
  EntryStream stream(server_);
  AddEntry(3, SomeRequest(5), &message_);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream.Write(message_));
    EXPECT_TRUE(stream.Read(1)[3].has_response());
  }
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ComputeLosses, AnIdInFlightFailsASecondEntry) {
  AddEntry(3, SomeRequest(5), &message_);
  AddEntry(3, SomeRequest(6), &message_);
  EntryStream stream(server_);
  ASSERT_TRUE(stream.Write(message_));
  int responses = 0;
  std::string failure;
  v1::ComputeLossesResponse response;
  for (int read = 0; read < 2;) {
    ASSERT_TRUE(stream.Read(&response));
    for (const auto& entry : response.entries()) {
      ++read;
      EXPECT_EQ(entry.id(), 3U);
      if (entry.has_response()) ++responses;
      if (entry.has_failure()) failure = entry.failure().message();
    }
  }
  EXPECT_EQ(responses, 1);
  EXPECT_THAT(failure, HasSubstr("id: 3 is that of an entry"));
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ComputeLosses, AMessageOfTenThousandEntriesIsAnswered) {
  Config config;
  config.max_inflight_requests = 100000;
  RunningServer server(config);
  for (uint64_t id = 1; id <= 10000; ++id) {
    AddEntry(id, SomeRequest(3), &message_);
  }
  EntryStream stream(server);
  std::thread writer([&] { stream.Write(message_); });
  const auto answers = stream.Read(10000);
  writer.join();
  EXPECT_EQ(answers.size(), 10000U);
  for (const auto& [id, answer] : answers) {
    EXPECT_TRUE(answer.has_response()) << answer.failure().message();
  }
  EXPECT_TRUE(stream.Finish().ok());
  ExpectNothingHeld(server);
}

// Entries beyond those that may be unanswered wait for their turn, also if all
// of them together would exceed the budget.
TEST_F(ComputeLosses, AMessageOfMoreEntriesThanTheBudgetIsAnswered) {
  Config config;
  config.max_inflight_requests = 2000;
  RunningServer server(config);
  for (uint64_t id = 1; id <= 10000; ++id) {
    AddEntry(id, SomeRequest(3), &message_);
  }
  EntryStream stream(server);
  std::thread writer([&] { stream.Write(message_); });
  int answered = 0;
  for (const auto& [id, answer] : stream.Read(10000)) {
    if (answer.has_response()) ++answered;
  }
  writer.join();
  EXPECT_EQ(answered, 10000);
  EXPECT_TRUE(stream.Finish().ok());
  ExpectNothingHeld(server);
}

// Two bytes ask for a failure of a hundred, so failures are made only as they
// are read.
// Flow control takes 64 KiB of the failures, and no more as the client is told
// not to widen its window.
TEST_F(ComputeLosses, FailuresThatNobodyReadsAreNotMade) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub =
      v1::LossService::NewStub(server_.AnotherConnection(arguments));
  EntryStream stream(*stub);
  for (size_t i = 0; i < wire::kMaxEntries; ++i) message_.add_entries();
  ASSERT_TRUE(stream.Write(message_));
  const auto accepted = [&] {
    return server_.Counter("lossd_accepted_total", "ComputeLosses");
  };
  EXPECT_TRUE(server_.WithinAnswers([&] { return accepted() >= 1024; }));
  EXPECT_LT(accepted(), wire::kMaxEntries / 2);
  stream.context().TryCancel();
  ExpectNothingHeld(server_);
}

// The gradient does not fit into the client's window, so its Write waits.
TEST(ComputeLossesIdle, AClientThatSendsWithoutReadingIsEnded) {
  Config config;
  config.stream_idle_timeout = absl::Milliseconds(20);
  RunningServer server(config);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub =
      v1::LossService::NewStub(server.AnotherConnection(arguments));
  EntryStream stream(*stub);
  v1::ComputeLossesRequest message;
  AddEntry(1, SomeRequest(1 << 18), &message);
  ASSERT_TRUE(stream.Write(message));
  const v1::ComputeLossesRequest nothing;
  EXPECT_TRUE(server.WithinAnswers([&] {
    stream.Write(nothing);
    return server.Counter("lossd_requests_total", "ComputeLossesStream") == 1;
  }));
  stream.context().TryCancel();
  ExpectNothingHeld(server);
}

TEST_F(ComputeLosses, AMessageOfTooManyEntriesEndsTheStream) {
  EntryStream stream(server_);
  AddEntry(1, SomeRequest(5), &message_);
  ASSERT_TRUE(stream.Write(message_));
  message_.Clear();
  for (size_t i = 0; i <= wire::kMaxEntries; ++i) message_.add_entries();
  ASSERT_TRUE(stream.Write(message_));
  EXPECT_TRUE(stream.Read(1)[1].has_response());
  const grpc::Status status = stream.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("at most 16384"));
  ExpectNothingHeld(server_);
}

TEST_F(ComputeLosses, AnEmptyMessageIsFine) {
  EntryStream stream(server_);
  ASSERT_TRUE(stream.Write(message_));
  AddEntry(1, SomeRequest(5), &message_);
  ASSERT_TRUE(stream.Write(message_));
  EXPECT_TRUE(stream.Read(1)[1].has_response());
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ComputeLosses, AStreamThatEndsWithEntriesInFlightAnswersThem) {
  for (uint64_t id = 1; id <= 40; ++id) {
    AddEntry(id, SomeRequest(100000), &message_);
  }
  EntryStream stream(server_);
  ASSERT_TRUE(stream.Write(message_));
  stream.WritesDone();
  EXPECT_EQ(stream.Read(40).size(), 40U);
  EXPECT_TRUE(stream.Finish().ok());
  ExpectNothingHeld(server_);
}

TEST_F(ComputeLosses, ACancelledStreamGivesEverythingBack) {
  for (uint64_t id = 1; id <= 40; ++id) {
    AddEntry(id, SomeRequest(200000), &message_);
  }
  EntryStream stream(server_);
  ASSERT_TRUE(stream.Write(message_));
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  ExpectNothingHeld(server_);
}

// The client writes until the server reads no more, which it does although no
// answer was read; then the client cancels.
TEST_F(ComputeLosses, AClientThatDoesNotReadIsNotReadFrom) {
  EntryStream stream(server_);
  for (int i = 0; i < 8; ++i) AddEntry(1, SomeRequest(100000), &message_);
  std::thread writer([&] {
    uint64_t id = 0;
    do {
      for (auto& entry : *message_.mutable_entries()) entry.set_id(++id);
    } while (stream.Write(message_));
  });
  // A request is counted once its answer is out, which stops when the
  // windows of the transport are full; what is held then stays within bounds.
  EXPECT_TRUE(server_.WithinAnswers(
      [&] { return server_.server().inflight_bytes() >= (64 << 20); }));
  EXPECT_LE(server_.server().inflight_bytes(), 80 << 20);
  stream.context().TryCancel();
  writer.join();
  ExpectNothingHeld(server_);
}

}  // namespace
}  // namespace lossd
