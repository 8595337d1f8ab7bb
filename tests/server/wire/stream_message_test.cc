#include "server/wire/stream_message.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/server/wire/in_slices.h"

namespace lossd::wire {
namespace {

std::string DataOf(StreamMessage& message, Field field) {
  std::string data;
  for (const grpc::Slice& slice : message.data(field)) {
    data.append(slice.begin(), slice.end());
  }
  return data;
}

// Expects the message that the generated parser reads from the bytes.
void ExpectAsGenerated(const std::string& bytes, std::mt19937& random) {
  v1::StreamLossRequest expected;
  const bool good = expected.ParseFromString(bytes);
  StreamMessage message;
  ASSERT_EQ(message.Parse(InSlices(bytes, random)).ok(), good);
  if (!good) return;
  EXPECT_EQ(message.message().part_case(), expected.part_case());
  EXPECT_EQ(message.message().header().SerializeAsString(),
            expected.header().SerializeAsString());
  const v1::StreamLossChunk& chunk = expected.chunk();
  EXPECT_EQ(DataOf(message, Field::kLogits), chunk.logits());
  EXPECT_EQ(DataOf(message, Field::kTargets), chunk.targets());
  EXPECT_EQ(DataOf(message, Field::kWeights), chunk.weights());
  EXPECT_EQ(DataOf(message, Field::kPosWeight), chunk.pos_weight());
  EXPECT_EQ(DataOf(message, Field::kUpstreamGradient),
            chunk.upstream_gradient());
}

std::string SomeBytes(std::mt19937& random) {
  std::string bytes(random() % 90, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

std::string RandomMessage(std::mt19937& random) {
  v1::StreamLossRequest message;
  if (random() % 3 == 0) {
    message.mutable_header()->add_shape(random() % 1000);
    message.mutable_header()->set_request_id("id");
    message.mutable_header()->mutable_weights()->set_data(SomeBytes(random));
  } else {
    v1::StreamLossChunk& chunk = *message.mutable_chunk();
    if (random() % 2 == 0) chunk.set_logits(SomeBytes(random));
    if (random() % 2 == 0) chunk.set_targets(SomeBytes(random));
    if (random() % 3 == 0) chunk.set_weights(SomeBytes(random));
    if (random() % 3 == 0) chunk.set_pos_weight(SomeBytes(random));
    if (random() % 3 == 0) chunk.set_upstream_gradient(SomeBytes(random));
  }
  return message.SerializeAsString();
}

TEST(StreamMessage, ReadsWhatTheGeneratedParserReads) {
  std::mt19937 random(21);
  for (int round = 0; round < 3000; ++round) {
    SCOPED_TRACE(round);
    // Several messages in one are merged: headers and chunks replace each
    // other.
    std::string bytes;
    for (unsigned i = 0; i <= random() % 3; ++i) bytes += RandomMessage(random);
    if (random() % 4 == 0 && !bytes.empty())
      bytes.resize(random() % bytes.size());
    if (random() % 4 == 0 && !bytes.empty()) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    ExpectAsGenerated(bytes, random);
  }
}

TEST(StreamMessage, ReadsVarintsThatAreLongerThanTheyMustBe) {
  std::mt19937 random(22);
  // A chunk of 5 bytes has logits of 1 byte; both lengths take two bytes.
  const std::string bytes("\x12\x84\x00\x0a\x81\x00\x07", 7);
  ExpectAsGenerated(bytes, random);
  StreamMessage message;
  ASSERT_TRUE(message.Parse(InSlices(bytes, random)).ok());
  EXPECT_EQ(DataOf(message, Field::kLogits), "\x07");
}

// Field 1 is the header only if it is length-delimited. With another type it is
// an unknown field, which does not replace a chunk.
TEST(StreamMessage, LeavesTheChunkBeforeAHeadersNumberOfAnotherType) {
  v1::StreamLossRequest message;
  message.mutable_chunk()->set_logits("1234");
  const std::string bytes = message.SerializeAsString();
  std::mt19937 random(3);
  ExpectAsGenerated(bytes + std::string("\x0d"
                                        "abcd",
                                        5),
                    random);  // fixed32
  ExpectAsGenerated(bytes + std::string("\x09"
                                        "abcdefgh",
                                        9),
                    random);
  ExpectAsGenerated(bytes + std::string("\x08\x01", 2), random);
  ExpectAsGenerated(bytes + std::string("\x0a\x00", 2), random);  // a header
}

TEST(StreamMessage, SharesTheMemoryOfTheBuffer) {
  v1::StreamLossRequest request;
  request.mutable_chunk()->set_logits(std::string(1000, 'x'));
  const grpc::Slice slice(request.SerializeAsString());
  StreamMessage message;
  ASSERT_TRUE(message.Parse(grpc::ByteBuffer(&slice, 1)).ok());
  ASSERT_EQ(message.data(Field::kLogits).size(), 1U);
  EXPECT_EQ(message.data(Field::kLogits)[0].end(), slice.end());
}

}  // namespace
}  // namespace lossd::wire
