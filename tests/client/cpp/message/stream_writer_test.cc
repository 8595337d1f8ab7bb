#include "client/cpp/message/stream_writer.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <cstdint>
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

}  // namespace
}  // namespace lossd::client
