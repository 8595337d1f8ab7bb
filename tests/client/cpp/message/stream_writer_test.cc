#include "client/cpp/message/stream_writer.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

namespace lossd::client {
namespace {

// Returns how many slices of a message begin at this address.
int CountAt(const grpc::ByteBuffer& message, const void* address) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  int count = 0;
  for (const grpc::Slice& slice : slices) count += slice.begin() == address;
  return count;
}

TEST(StreamWriterTest, ChunksAreLentAndNotCopied) {
  const std::vector<float> logits(2 * kChunkElements + kChunkElements / 2);
  const std::vector<uint8_t> targets(logits.size());
  const std::vector<double> weights(logits.size());
  const LossRequest request{.logits = TensorView::Of<float>(logits),
                            .targets = TensorView::Of<uint8_t>(targets),
                            .weights = TensorView::Of<double>(weights)};
  const std::shared_ptr<SliceTracker> tracker = SliceTracker::Make();
  StreamWriter writer(request, "", *tracker);
  const auto header = writer.Next();
  ASSERT_TRUE(header.has_value());
  EXPECT_LT(header->Length(), 100u);
  for (size_t chunk = 0; chunk < 3; ++chunk) {
    const auto message = writer.Next();
    ASSERT_TRUE(message.has_value());
    const size_t from = chunk * kChunkElements;
    EXPECT_EQ(CountAt(*message, &logits[from]), 1);
    EXPECT_EQ(CountAt(*message, &targets[from]), 1);
    EXPECT_EQ(CountAt(*message, &weights[from]), 1);
  }
  EXPECT_FALSE(writer.Next().has_value());
}

TEST(StreamWriterTest, AsksForDerivativesThatItCanScale) {
  const std::vector<uint8_t> logits(5);
  LossRequest request;
  request.logits = {
      v1::DATA_TYPE_FLOAT8_E4M3FN, {5}, std::as_bytes(std::span(logits))};
  request.targets = TensorView::Of<uint8_t>(logits);
  const std::shared_ptr<SliceTracker> tracker = SliceTracker::Make();
  const auto header = [&] {
    grpc::Slice slice;
    v1::StreamLossRequest message;
    EXPECT_TRUE(StreamWriter(request, "", *tracker)
                    .Next()
                    ->DumpToSingleSlice(&slice)
                    .ok());
    EXPECT_TRUE(
        message.ParseFromArray(slice.begin(), static_cast<int>(slice.size())));
    return message.header();
  };
  EXPECT_EQ(header().spec().gradient_dtype(), v1::DATA_TYPE_UNSPECIFIED);
  request.spec.set_normalizer(v1::NORMALIZER_VALID);
  request.spec.set_ignore_target(255);
  EXPECT_EQ(header().spec().gradient_dtype(), v1::DATA_TYPE_FLOAT32);
}

}  // namespace
}  // namespace lossd::client
