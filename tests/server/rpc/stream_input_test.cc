#include "server/rpc/stream_input.h"

#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <string>

namespace lossd::rpc {
namespace {

using testing::HasSubstr;

// Streams of float32 logits and uint8 targets.
class StreamInputTest : public testing::Test {
 protected:
  absl::Status Take(const v1::StreamLossRequest& message) {
    const grpc::Slice slice(message.SerializeAsString());
    return input_.Take(grpc::ByteBuffer(&slice, 1));
  }
  absl::Status TakeHeader(uint64_t elements) {
    v1::StreamLossRequest message;
    message.mutable_header()->add_shape(static_cast<int64_t>(elements));
    message.mutable_header()->set_targets_dtype(v1::DATA_TYPE_UINT8);
    return Take(message);
  }
  // Takes a chunk with so many more elements of each tensor.
  absl::Status TakeChunk(uint64_t logits, uint64_t targets) {
    v1::StreamLossRequest message;
    message.mutable_chunk()->set_logits(std::string(4 * logits, '\0'));
    message.mutable_chunk()->set_targets(std::string(targets, '\1'));
    return Take(message);
  }

  StreamInput input_;
  grpc::CompletionQueue queue_;
  StreamWindow window_{&queue_, {nullptr, 0}};
};

TEST_F(StreamInputTest, HasAWindowOnceAllTensorsHaveItsBytes) {
  EXPECT_EQ(input_.plan(), nullptr);
  ASSERT_TRUE(TakeHeader(kWindowElements + 5).ok());
  ASSERT_NE(input_.plan(), nullptr);
  EXPECT_FALSE(input_.HasWindow());
  ASSERT_TRUE(TakeChunk(kWindowElements + 5, kWindowElements - 1).ok());
  EXPECT_FALSE(input_.HasWindow());
  ASSERT_TRUE(TakeChunk(0, 1).ok());
  ASSERT_TRUE(input_.HasWindow());
  EXPECT_EQ(input_.queued_bytes(), 5 * kWindowElements + 20);

  EXPECT_EQ(input_.TakeWindow(&window_), kWindowElements);
  EXPECT_EQ(window_.first_element, 0U);
  EXPECT_EQ(window_.input_bytes, 5 * kWindowElements);
  EXPECT_EQ(input_.taken_elements(), kWindowElements);
  EXPECT_EQ(input_.queued_bytes(), 20U);
  EXPECT_FALSE(input_.HasWindow());
}

TEST_F(StreamInputTest, EndsWithAShorterWindow) {
  ASSERT_TRUE(TakeHeader(kWindowElements + 5).ok());
  ASSERT_TRUE(TakeChunk(kWindowElements + 5, kWindowElements + 5).ok());
  EXPECT_TRUE(input_.CheckComplete().ok());
  input_.TakeWindow(&window_);
  window_.Clear();
  ASSERT_TRUE(input_.HasWindow());
  EXPECT_EQ(input_.TakeWindow(&window_), 5U);
  EXPECT_EQ(window_.first_element, kWindowElements);
  EXPECT_FALSE(input_.HasWindow());
  EXPECT_EQ(input_.queued_bytes(), 0U);
}

TEST_F(StreamInputTest, ATensorMayBeAheadByTheLimit) {
  ASSERT_TRUE(TakeHeader(2 * kMaxSkewElements).ok());
  ASSERT_TRUE(TakeChunk(10 + kMaxSkewElements, 10).ok());
  const absl::Status skewed = TakeChunk(1, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(skewed));
  EXPECT_THAT(std::string(skewed.message()),
              HasSubstr("of logits, but only 10 of targets have arrived"));
}

TEST_F(StreamInputTest, IsIncompleteUntilEveryByteIsThere) {
  EXPECT_THAT(std::string(input_.CheckComplete().message()),
              HasSubstr("header: the stream ended before it"));
  ASSERT_TRUE(TakeHeader(10).ok());
  ASSERT_TRUE(TakeChunk(10, 9).ok());
  EXPECT_THAT(std::string(input_.CheckComplete().message()),
              HasSubstr("chunk.targets: the stream ended after 9 bytes"));
  ASSERT_TRUE(TakeChunk(0, 1).ok());
  EXPECT_TRUE(input_.CheckComplete().ok());
}

TEST_F(StreamInputTest, IsAsNewAfterClear) {
  ASSERT_TRUE(TakeHeader(10).ok());
  EXPECT_GT(input_.header_bytes(), 0U);
  ASSERT_TRUE(TakeChunk(10, 10).ok());
  input_.TakeWindow(&window_);
  input_.Clear();
  EXPECT_EQ(input_.plan(), nullptr);
  EXPECT_EQ(input_.header_bytes() + input_.queued_bytes(), 0U);
  EXPECT_EQ(input_.taken_elements(), 0U);
  ASSERT_TRUE(TakeHeader(20).ok());
  EXPECT_TRUE(TakeChunk(20, 20).ok());
}

}  // namespace
}  // namespace lossd::rpc
