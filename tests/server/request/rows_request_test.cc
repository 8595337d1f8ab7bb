// Requests and streams with rows: what is accepted, what it is read as, and
// what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/request/stream_plan.h"
#include "server/request/valid_request.h"
#include "tests/server/request/reading.h"

namespace lossd::request {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Request Rows(std::vector<int64_t> shape, size_t count) {
  Request request;
  SetFloats(request.mutable_logits(), shape, count);
  SetFloats(request.mutable_targets(), shape, count);
  request.mutable_spec()->set_reduction(v1::REDUCTION_ROWS);
  return request;
}

TEST(RowsRequest, RowsAreTheFirstDimension) {
  const struct {
    std::vector<int64_t> shape;
    size_t count;
    uint64_t rows, elements;
  } cases[] = {{{5}, 5, 5, 1},       {{2, 3}, 6, 2, 3}, {{2, 3, 4}, 24, 2, 12},
               {{1, 1, 7}, 7, 1, 7}, {{3, 0}, 0, 3, 0}, {{0, 3}, 0, 0, 0}};
  for (const auto& c : cases) {
    const Reading reading(Rows(c.shape, c.count));
    ASSERT_TRUE(reading.status.ok()) << reading.status;
    EXPECT_EQ(reading.valid.segment().row_elements, c.elements);
    EXPECT_THAT(reading.valid.losses_dims(), ElementsAre(c.rows));
    EXPECT_EQ(reading.valid.losses_bytes(), c.rows * sizeof(float));
    EXPECT_EQ(reading.valid.reply_bytes(), (c.rows + c.count) * sizeof(float));
  }
}

TEST(RowsRequest, AMeanOfRowsHasNoLosses) {
  Request request = Rows({2, 3}, 6);
  request.mutable_spec()->set_reduction(v1::REDUCTION_MEAN_OF_ROWS);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_EQ(reading.valid.segment().row_elements, 3u);
  EXPECT_FALSE(reading.valid.wants_losses());
  EXPECT_EQ(reading.valid.losses_bytes(), 0u);
}

TEST(RowsRequest, AsValuesItReturnsOneForEachRow) {
  Request request;
  for (const double v : {0.5, -1.0, 2.0}) {
    request.mutable_logits()->add_values(v);
    request.mutable_targets()->add_values(1);
  }
  request.mutable_spec()->set_reduction(v1::REDUCTION_ROWS);
  request.mutable_spec()->set_losses_dtype(v1::DATA_TYPE_FLOAT64);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_EQ(reading.valid.losses_bytes(), 3 * sizeof(double));
  EXPECT_EQ(reading.valid.reply_bytes(),
            3 * (sizeof(double) + sizeof(float)) + 2 * 3 * sizeof(double));
}

TEST(RowsRequest, AnUpstreamGradientHasOneElementOrOneForEachRow) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{2}, {2, 1}, {2, 1, 1}}) {
    Request request = Rows({2, 3, 4}, 24);
    SetFloats(request.mutable_upstream_gradient(), shape, 2);
    const Reading reading(request);
    ASSERT_TRUE(reading.status.ok()) << reading.status;
    EXPECT_THAT(reading.Strides(reading.valid.segment().upstream),
                ElementsAre(1, 0));  // the last two dimensions are folded
  }
  Request request = Rows({2, 3}, 6);
  request.mutable_upstream_gradient()->add_values(3);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_EQ(reading.valid.segment().upstream_scalar, 3);
}

TEST(RowsRequest, AnotherUpstreamGradientIsRefusedByItsShape) {
  const struct {
    std::vector<int64_t> shape;
    size_t count;
  } cases[] = {{{3}, 3}, {{1, 2}, 2}, {{2, 3}, 6}, {{2, 1, 1}, 2}, {{0}, 0}};
  for (const auto& c : cases) {
    Request request = Rows({2, 3}, 6);
    SetFloats(request.mutable_upstream_gradient(), c.shape, c.count);
    EXPECT_THAT(Reading(request).message(),
                HasSubstr("is neither one element nor one for each of the 2 "
                          "rows of the logits' shape [2, 3]"));
  }
  Request request = Rows({2, 3}, 6);
  request.mutable_spec()->set_reduction(v1::REDUCTION_MEAN_OF_ROWS);
  SetFloats(request.mutable_upstream_gradient(), {2}, 2);
  EXPECT_EQ(Reading(request).message(),
            "upstream_gradient.shape: [2] has 2 elements, and a reduced loss "
            "takes 1");
}

TEST(RowsRequest, LogitsOfRank0HaveNoRows) {
  Request request = Rows({}, 1);
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets()}) {
    tensor->set_data(std::string(4, '\0'));
  }
  const std::string message = Reading(request).message();
  EXPECT_EQ(message,
            "spec.reduction: rows are the first dimension of logits.shape, "
            "which is []");
}

TEST(RowsRequest, AnUpstreamGradientBroadcastsToLossesOfElements) {
  Request request = Rows({2, 3}, 6);
  request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  SetFloats(request.mutable_upstream_gradient(), {2, 1}, 2);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_THAT(reading.Strides(reading.valid.segment().upstream),
              ElementsAre(1, 0));
}

v1::StreamLossHeader Header(v1::Reduction reduction,
                            v1::Normalizer normalizer) {
  v1::StreamLossHeader header;
  header.add_shape(4);
  header.add_shape(1000);
  header.mutable_spec()->set_reduction(reduction);
  header.mutable_spec()->set_normalizer(normalizer);
  if (normalizer == v1::NORMALIZER_CALLER) {
    header.mutable_spec()->set_normalizer_value(7);
  }
  return header;
}

std::string MessageOf(const v1::StreamLossHeader& header) {
  StreamPlan plan;
  return std::string(plan.Read(header).message());
}

TEST(RowsStream, HasADivisorThatTheHeaderDecides) {
  const struct {
    v1::Normalizer normalizer;
    double divisor;
  } cases[] = {{v1::NORMALIZER_UNSPECIFIED, 1000},
               {v1::NORMALIZER_ELEMENTS, 1000},
               {v1::NORMALIZER_VALID, 1000},
               {v1::NORMALIZER_BATCH, 1},
               {v1::NORMALIZER_NONZERO_WEIGHTS, 1000},
               {v1::NORMALIZER_WEIGHT_SUM, 1000},
               {v1::NORMALIZER_CALLER, 7}};
  for (const auto& c : cases) {
    StreamPlan rows, mean;
    ASSERT_TRUE(rows.Read(Header(v1::REDUCTION_ROWS, c.normalizer)).ok());
    EXPECT_EQ(rows.scaling().known, c.divisor);
    ASSERT_TRUE(
        mean.Read(Header(v1::REDUCTION_MEAN_OF_ROWS, c.normalizer)).ok());
    EXPECT_EQ(mean.scaling().known, 4 * c.divisor);
  }
}

TEST(RowsStream, RefusesADivisorThatIsCountedWithinARow) {
  for (const auto reduction :
       {v1::REDUCTION_ROWS, v1::REDUCTION_MEAN_OF_ROWS}) {
    for (const auto normalizer :
         {v1::NORMALIZER_VALID, v1::NORMALIZER_NONZERO_WEIGHTS,
          v1::NORMALIZER_WEIGHT_SUM}) {
      v1::StreamLossHeader header = Header(reduction, normalizer);
      header.mutable_spec()->set_ignore_target(0);
      EXPECT_EQ(MessageOf(header),
                "header.spec.normalizer: " + v1::Normalizer_Name(normalizer) +
                    " with " + v1::Reduction_Name(reduction) +
                    " counts the elements of each row, and a stream sends a "
                    "row's gradient before the row is whole; send the tensors "
                    "in one message");
      header.mutable_spec()->clear_ignore_target();
      EXPECT_EQ(MessageOf(header), "");
      header.set_weights_dtype(v1::DATA_TYPE_FLOAT32);
      EXPECT_EQ(MessageOf(header).empty(), normalizer == v1::NORMALIZER_VALID);
    }
  }
}

TEST(RowsStream, RefusesAMeanOverRowsThatAreCounted) {
  v1::StreamLossHeader header =
      Header(v1::REDUCTION_MEAN_OF_ROWS, v1::NORMALIZER_ELEMENTS);
  header.mutable_spec()->set_ignore_target(-1);
  EXPECT_THAT(MessageOf(header),
              HasSubstr("header.spec.ignore_target: -1 with "
                        "REDUCTION_MEAN_OF_ROWS, which divides by the rows"));
  header.mutable_spec()->set_reduction(v1::REDUCTION_ROWS);
  EXPECT_EQ(MessageOf(header), "");
}

TEST(RowsStream, TakesUpstreamGradientsInChunksIfRowsHaveOneElement) {
  v1::StreamLossHeader header =
      Header(v1::REDUCTION_ROWS, v1::NORMALIZER_ELEMENTS);
  header.set_upstream_gradient_dtype(v1::DATA_TYPE_FLOAT32);
  EXPECT_THAT(MessageOf(header), HasSubstr("header.upstream_gradient_dtype: "
                                           "only losses that are not reduced"));
  header.set_shape(1, 1);
  EXPECT_EQ(MessageOf(header), "");
}

TEST(RowsStream, ChargesTheRowsOfAWindow) {
  StreamPlan none, rows;
  v1::StreamLossHeader header =
      Header(v1::REDUCTION_SUM, v1::NORMALIZER_UNSPECIFIED);
  header.set_shape(1, 1);
  ASSERT_TRUE(none.Read(header).ok());
  header.mutable_spec()->set_reduction(v1::REDUCTION_ROWS);
  ASSERT_TRUE(rows.Read(header).ok());
  constexpr uint64_t kCount = 1 << 17;
  EXPECT_GE(rows.MadeBytes(kCount) - none.MadeBytes(kCount),
            kCount * (sizeof(double) + sizeof(float)));
}

}  // namespace
}  // namespace lossd::request
