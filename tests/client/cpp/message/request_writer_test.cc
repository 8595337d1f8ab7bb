#include "client/cpp/message/request_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace lossd::client {
namespace {

std::string Flatten(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

// Copies the tensor into a message of the generated code.
void Copy(const TensorView& view, v1::Tensor& tensor) {
  tensor.set_dtype(view.dtype);
  tensor.mutable_shape()->Add(view.shape.begin(), view.shape.end());
  tensor.set_data(view.bytes.data(), view.bytes.size());
}

std::string GeneratedEncoding(const LossRequest& request,
                              const std::string& request_id) {
  v1::ComputeLossRequest message;
  *message.mutable_spec() = request.spec;
  Copy(request.logits, *message.mutable_logits());
  Copy(std::get<TensorView>(request.targets), *message.mutable_targets());
  if (request.weights) Copy(*request.weights, *message.mutable_weights());
  if (request.pos_weight) {
    Copy(*request.pos_weight, *message.mutable_pos_weight());
  }
  if (request.upstream_gradient) {
    Copy(*request.upstream_gradient, *message.mutable_upstream_gradient());
  }
  message.set_request_id(request_id);
  return message.SerializeAsString();
}

TEST(RequestWriterTest, WritesWhatTheGeneratedCodeWritesForManyRequests) {
  std::mt19937 random(7);
  // Varints grow around these sizes, and payloads stop being copied.
  const size_t sizes[] = {0,    1,    31,   32,   127,  1023,
                          1024, 1025, 4095, 5000, 70000};
  const auto draw = [&](size_t limit) { return random() % limit; };
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<std::vector<float>> arrays;
    for (int i = 0; i < 5; ++i) {
      arrays.emplace_back(sizes[draw(std::size(sizes))],
                          static_cast<float>(draw(100)));
    }
    const auto view = [&](size_t i) {
      return TensorView::Of<float>(arrays[i]);
    };
    LossRequest request{.logits = view(0), .targets = view(1)};
    if (draw(2)) request.weights = view(2);
    if (draw(2)) request.pos_weight = view(3);
    if (draw(2)) request.upstream_gradient = view(4);
    if (draw(2)) request.spec.set_reduction(v1::REDUCTION_SUM);
    if (draw(2)) request.spec.set_ignore_target(-1);
    const std::string id(draw(200), 'i');
    auto tracker = SliceTracker::Make();
    ASSERT_EQ(Flatten(WriteRequest(request, id, *tracker)),
              GeneratedEncoding(request, id))
        << "trial " << trial;
  }
}

TEST(RequestWriterTest, WritesShapesAndTypesOfEveryElementType) {
  const std::vector<double> logits(6, 0.5);
  const std::vector<uint8_t> targets(6, 1);
  const bool weights[] = {true, false, true};
  const LossRequest request{
      .logits = TensorView::Of<double>(logits, {2, 3}),
      .targets = TensorView::Of<uint8_t>(targets, {2, 3, 1}),
      .weights = TensorView::Of<bool>(weights)};
  auto tracker = SliceTracker::Make();
  EXPECT_EQ(Flatten(WriteRequest(request, "", *tracker)),
            GeneratedEncoding(request, ""));
}

TEST(RequestWriterTest, LendsLargePayloadsInsteadOfCopyingThem) {
  const std::vector<float> large(kLargestCopiedPayload / sizeof(float) + 1);
  const LossRequest request{.logits = TensorView::Of<float>(large),
                            .targets = TensorView::Of<float>(large)};
  auto tracker = SliceTracker::Make();
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(WriteRequest(request, "", *tracker).Dump(&slices).ok());
  int lent = 0;
  for (const grpc::Slice& slice : slices) {
    lent += slice.begin() == reinterpret_cast<const uint8_t*>(large.data());
  }
  EXPECT_EQ(lent, 2);
}

TEST(RequestWriterTest, CopiesPayloadsUpToTheThreshold) {
  const std::vector<float> small(kLargestCopiedPayload / sizeof(float));
  const LossRequest request{.logits = TensorView::Of<float>(small),
                            .targets = TensorView::Of<float>(small)};
  auto tracker = SliceTracker::Make();
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(WriteRequest(request, "", *tracker).Dump(&slices).ok());
  EXPECT_EQ(slices.size(), 1u);
  EXPECT_TRUE(tracker->AllDroppedOrElse([] { FAIL(); }));
}

TEST(RequestWriterTest, WritesOnesAndIdentityAsTheGeneratedCodeDoes) {
  const std::vector<float> logits(6);
  std::vector<int64_t> row_splits = {0, 1, 3};
  const std::vector<int64_t> columns = {2, 0, 1};
  LossRequest request{.logits = TensorView::Of<float>(logits, {2, 3})};
  v1::ComputeLossRequest message;
  message.mutable_spec();
  Copy(request.logits, *message.mutable_logits());
  const auto written = [&] {
    SliceTracker tracker;
    return Flatten(WriteRequest(request, "", tracker));
  };

  request.targets = OnesView{row_splits, columns, {2, 3}};
  v1::Tensor& targets = *message.mutable_targets();
  targets.add_shape(2);
  targets.add_shape(3);
  targets.mutable_ones()->mutable_row_splits()->Add(row_splits.begin(),
                                                    row_splits.end());
  targets.mutable_ones()->mutable_columns()->Add(columns.begin(),
                                                 columns.end());
  EXPECT_EQ(written(), message.SerializeAsString());

  for (const int64_t diagonal : {0, 5, -1}) {
    request.targets = IdentityTargets{diagonal};
    targets.Clear();
    targets.mutable_identity()->set_diagonal(diagonal);
    EXPECT_EQ(written(), message.SerializeAsString());
  }
}

TEST(CheckSerializable, RefusesWhatTheGeneratedCodeWritesAsNothing) {
  EXPECT_TRUE(CheckSerializable(2147483647).ok());
  const absl::Status refused = CheckSerializable(2147483648);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("2147483648 bytes"));
}

}  // namespace
}  // namespace lossd::client
