#include "client/cpp/message/entry_writer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/cpp/message/request_writer.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {
namespace {

v1::ComputeLossesRequest Parsed(const grpc::ByteBuffer& message) {
  grpc::Slice slice;
  EXPECT_TRUE(message.DumpToSingleSlice(&slice).ok());
  v1::ComputeLossesRequest request;
  EXPECT_TRUE(
      request.ParseFromArray(slice.begin(), static_cast<int>(slice.size())));
  return request;
}

TEST(EntryWriterTest, WritesWhatTheGeneratedCodeReads) {
  const auto tracker = SliceTracker::Make();
  const std::vector<float> small(5, 1.0f);
  const std::vector<float> large(5000, 2.0f);
  EntryWriter writer;
  uint64_t id = 126;  // its varint grows
  for (const auto* values : {&small, &large, &large, &small}) {
    const LossRequest request{.logits = TensorView::Of<float>(*values),
                              .targets = TensorView::Of<float>(*values)};
    writer.Add(++id, RequestPieces(request, "x", *tracker),
               absl::InfiniteDuration());
  }
  const auto bytes = static_cast<size_t>(writer.bytes());
  EXPECT_EQ(writer.entries(), 4);
  const grpc::ByteBuffer message = writer.Finish();
  EXPECT_EQ(message.Length(), bytes);
  EXPECT_EQ(writer.bytes(), 0U);
  const v1::ComputeLossesRequest request = Parsed(message);
  ASSERT_EQ(request.entries_size(), 4);
  for (int i = 0; i < 4; ++i) {
    const auto& entry = request.entries(i);
    EXPECT_EQ(entry.id(), 127U + static_cast<uint64_t>(i));
    EXPECT_FALSE(entry.has_timeout());
    EXPECT_EQ(entry.request().request_id(), "x");
    EXPECT_EQ(entry.request().logits().shape(0), i == 0 || i == 3 ? 5 : 5000);
    EXPECT_EQ(entry.request().targets().data().size(),
              i == 0 || i == 3 ? 20U : 20000U);
  }
}

TEST(EntryWriterTest, TimeoutsAreRoundedUpAndNeverNegative) {
  const struct {
    absl::Duration timeout;
    int64_t seconds;
    int32_t nanos;
  } cases[] = {{absl::Nanoseconds(1) / 4, 0, 1},
               {absl::Seconds(3), 3, 0},
               {absl::Milliseconds(2500), 2, 500'000'000},
               {-absl::Seconds(1), 0, 0},
               {absl::ZeroDuration(), 0, 0},
               {-absl::InfiniteDuration(), 0, 0}};
  EntryWriter writer;
  for (const auto& test : cases) writer.Add(1, {}, test.timeout);
  const v1::ComputeLossesRequest request = Parsed(writer.Finish());
  for (int i = 0; i < request.entries_size(); ++i) {
    ASSERT_TRUE(request.entries(i).has_timeout()) << i;
    EXPECT_EQ(request.entries(i).timeout().seconds(), cases[i].seconds) << i;
    EXPECT_EQ(request.entries(i).timeout().nanos(), cases[i].nanos) << i;
  }
}

}  // namespace
}  // namespace lossd::client
