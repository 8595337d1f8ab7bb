#include "client/cpp/message/reply_reader.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace lossd::client {
namespace {

// Returns `bytes` cut into pieces of random sizes, as a transport may deliver
// them.
grpc::ByteBuffer Cut(const std::string& bytes, std::mt19937& random) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min<size_t>(bytes.size() - at, 1 + random() % 37);
    slices.emplace_back(bytes.data() + at, size);
    at += size;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

v1::ComputeLossResponse SampleReply(const std::vector<float>& gradient) {
  v1::ComputeLossResponse reply;
  reply.set_loss(0.25);
  reply.set_normalizer(3);
  reply.set_valid_count(7);
  reply.set_nan_count(2);
  reply.set_request_id("id");
  reply.mutable_execution()->set_backend("cpu/X");
  v1::Tensor& tensor = *reply.mutable_gradient();
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.add_shape(static_cast<int64_t>(gradient.size()));
  tensor.set_data(gradient.data(), gradient.size() * sizeof(float));
  return reply;
}

TEST(ReplyReaderTest, ReadsEveryFieldHoweverTheReplyIsCut) {
  std::mt19937 random(3);
  std::vector<float> gradient(257);
  std::iota(gradient.begin(), gradient.end(), -100.0f);
  const std::string bytes = SampleReply(gradient).SerializeAsString();
  for (int trial = 0; trial < 100; ++trial) {
    auto result = ReadReply(Cut(bytes, random));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->loss, 0.25);
    EXPECT_EQ(result->normalizer, 3);
    EXPECT_EQ(result->valid_count, 7);
    EXPECT_EQ(result->nan_count, 2);
    EXPECT_EQ(result->request_id, "id");
    EXPECT_EQ(result->execution.backend(), "cpu/X");
    EXPECT_FALSE(result->losses.has_value());
    ASSERT_TRUE(result->gradient.has_value());
    EXPECT_EQ(result->gradient->shape(), Shape({257}));
    const auto elements = result->gradient->As<float>();
    ASSERT_TRUE(elements.ok());
    EXPECT_EQ(std::vector<float>(elements->begin(), elements->end()), gradient);
  }
}

TEST(ReplyReaderTest, LeavesThePayloadInTheReceivedSlices) {
  const std::string bytes =
      SampleReply(std::vector<float>(1000)).SerializeAsString();
  const grpc::Slice slice(bytes);
  auto result = ReadReply(grpc::ByteBuffer(&slice, 1));
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->gradient->chunks().size(), 1u);
  EXPECT_GE(result->gradient->chunks()[0].begin(), slice.begin());
  EXPECT_LE(result->gradient->chunks()[0].end(), slice.end());
}

TEST(ReplyReaderTest, LossesAndDerivativesAreToldApart) {
  v1::ComputeLossResponse reply = SampleReply({1, 2});
  reply.mutable_losses()->set_data(std::string(16, 'x'));
  reply.mutable_losses()->set_dtype(v1::DATA_TYPE_FLOAT64);
  reply.mutable_second_derivative()->set_data(std::string(6, 'y'));
  reply.mutable_second_derivative()->set_dtype(v1::DATA_TYPE_BFLOAT16);
  std::mt19937 random(5);
  auto result = ReadReply(Cut(reply.SerializeAsString(), random));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->losses->byte_size(), 16u);
  EXPECT_EQ(result->gradient->byte_size(), 8u);
  ASSERT_TRUE(result->second_derivative.has_value());
  EXPECT_EQ(result->second_derivative->byte_size(), 6u);
  EXPECT_EQ(result->second_derivative->dtype(), v1::DATA_TYPE_BFLOAT16);
}

TEST(ReplyReaderTest, ValuesBecomeFloat64Data) {
  v1::ComputeLossResponse reply;
  reply.mutable_gradient()->add_values(0.5);
  reply.mutable_gradient()->add_values(-1);
  std::mt19937 random(5);
  auto result = ReadReply(Cut(reply.SerializeAsString(), random));
  ASSERT_TRUE(result.ok());
  const auto elements = result->gradient->As<double>();
  ASSERT_TRUE(elements.ok());
  EXPECT_EQ(std::vector<double>(elements->begin(), elements->end()),
            std::vector<double>({0.5, -1}));
}

TEST(ReplyReaderTest, AgreesWithTheGeneratedParserOnWhatIsAMessage) {
  const google::protobuf::LogSilencer quiet;  // it logs what it refuses
  std::mt19937 random(11);
  const std::string good = SampleReply({1, 2, 3}).SerializeAsString();
  int accepted = 0;
  int refused = 0;
  for (int trial = 0; trial < 5000; ++trial) {
    std::string bytes = good;
    for (unsigned i = 0; i < 1 + random() % 2; ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    v1::ComputeLossResponse message;
    const bool parses = message.ParseFromString(bytes);
    const bool read = ReadReply(Cut(bytes, random)).ok();
    // A tensor that points into shared memory can be parsed, but is no reply.
    if (message.gradient().has_shared_memory() ||
        message.gradient().has_ones() || message.losses().has_shared_memory() ||
        message.losses().has_ones() ||
        message.second_derivative().has_shared_memory() ||
        message.second_derivative().has_ones()) {
      continue;
    }
    ASSERT_EQ(read, parses) << "trial " << trial;
    ++(parses ? accepted : refused);
  }
  EXPECT_GT(accepted, 500);
  EXPECT_GT(refused, 500);
}

TEST(ReceivedTensorTest, CopyToRefusesADestinationOfAnotherSize) {
  const ReceivedTensor tensor(v1::DATA_TYPE_FLOAT32, {2},
                              {grpc::Slice("abcd", 4), grpc::Slice("efgh", 4)});
  std::byte destination[8];
  EXPECT_TRUE(tensor.CopyTo(destination).ok());
  EXPECT_EQ(std::memcmp(destination, "abcdefgh", 8), 0);
  EXPECT_EQ(tensor.CopyTo(std::span(destination).first(7)).message(),
            "the destination has 7 bytes, the tensor has 8");
}

TEST(ReceivedTensorTest, OneAlignedSliceIsNotCopiedAndAnyOtherIs) {
  alignas(max_align_t) const float memory[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  const auto slice_from = [&](int first) {
    return grpc::Slice(&memory[first], 8 * sizeof(float),
                       grpc::Slice::STATIC_SLICE);
  };
  ReceivedTensor aligned(v1::DATA_TYPE_FLOAT32, {8}, {slice_from(0)});
  EXPECT_EQ(aligned.As<float>()->data(), memory);
  ReceivedTensor other(v1::DATA_TYPE_FLOAT32, {8}, {slice_from(1)});
  EXPECT_NE(other.As<float>()->data(), &memory[1]);
  EXPECT_TRUE(
      std::ranges::equal(*other.As<float>(), std::span(memory).subspan(1)));
  ReceivedTensor two(v1::DATA_TYPE_FLOAT32, {16},
                     {slice_from(0), slice_from(1)});
  EXPECT_EQ(two.As<float>()->size(), 16U);
  EXPECT_EQ((*two.As<float>())[8], 1);
}

TEST(ReceivedTensorTest, AsRefusesAnotherElementType) {
  ReceivedTensor tensor(v1::DATA_TYPE_FLOAT32, {1}, {grpc::Slice("abcd", 4)});
  EXPECT_TRUE(tensor.As<float>().ok());
  EXPECT_EQ(tensor.As<double>().status().message(),
            "the tensor is DATA_TYPE_FLOAT32, not DATA_TYPE_FLOAT64");
}

}  // namespace
}  // namespace lossd::client
