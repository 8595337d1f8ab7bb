// Tests what becomes of targets as `ones` and `identity`, and which are
// refused.
#include "server/request/ones.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "tests/server/request/reading.h"

namespace lossd::request {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using Numbers = std::vector<int64_t>;

Request WithOnes(const Numbers& logits_shape, const Numbers& row_splits,
                 const Numbers& columns) {
  size_t count = 1;
  for (const int64_t dim : logits_shape) count *= static_cast<size_t>(dim);
  Request request;
  SetFloats(request.mutable_logits(), logits_shape, count);
  v1::SparseIndices& ones = *request.mutable_targets()->mutable_ones();
  ones.mutable_row_splits()->Add(row_splits.begin(), row_splits.end());
  ones.mutable_columns()->Add(columns.begin(), columns.end());
  return request;
}

TEST(Ones, BecomeRisingIndicesOfElements) {
  const Reading reading(WithOnes({3, 4}, {0, 2, 2, 3}, {1, 3, 0}));
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  const kernels::Segment& segment = reading.valid.segment();
  EXPECT_FALSE(segment.targets.present());
  EXPECT_THAT(segment.ones.indices, ElementsAre(1, 3, 8));
  EXPECT_EQ(reading.valid.converted_bytes(), 3 * sizeof(uint64_t));
}

TEST(Ones, TakeTheLogitsShapeOrTheirOwn) {
  Request request = WithOnes({2, 2, 3}, {0, 1, 2}, {5, 0});
  const Reading implied(request);
  ASSERT_TRUE(implied.status.ok()) << implied.status;
  EXPECT_THAT(implied.valid.segment().ones.indices, ElementsAre(5, 6));
  for (const int64_t dim : {2, 6}) request.mutable_targets()->add_shape(dim);
  request.mutable_spec()->set_target_shape_rule(
      v1::TARGET_SHAPE_RULE_SAME_COUNT);
  const Reading given(request);
  ASSERT_TRUE(given.status.ok()) << given.status;
  EXPECT_THAT(given.valid.segment().ones.indices, ElementsAre(5, 6));
  request.mutable_targets()->set_shape(1, 5);
  EXPECT_THAT(Reading(request).message(),
              StartsWith("targets.shape: [2, 5] must have the logits'"));
}

TEST(Ones, OfOneDimensionHaveOneColumn) {
  const Reading reading(WithOnes({3}, {0, 1, 1, 2}, {0, 0}));
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_THAT(reading.valid.segment().ones.indices, ElementsAre(0, 2));
}

TEST(Ones, MayBeNone) {
  const Reading zeros(WithOnes({2, 3}, {0, 0, 0}, {}));
  ASSERT_TRUE(zeros.status.ok()) << zeros.status;
  EXPECT_THAT(zeros.valid.segment().ones.indices, IsEmpty());
  EXPECT_EQ(zeros.valid.segment().ones.count, 0U);
  EXPECT_TRUE(Reading(WithOnes({0, 3}, {0}, {})).status.ok());
  EXPECT_TRUE(Reading(WithOnes({2, 0}, {0, 0, 0}, {})).status.ok());
}

struct BadOnes {
  const char* name;
  Numbers shape, row_splits, columns;
  const char* message;
};

class OnesRefused : public testing::TestWithParam<BadOnes> {};

TEST_P(OnesRefused, NamesFieldIndexAndBothValues) {
  const BadOnes& bad = GetParam();
  const Reading reading(WithOnes(bad.shape, bad.row_splits, bad.columns));
  EXPECT_TRUE(absl::IsInvalidArgument(reading.status)) << reading.status;
  EXPECT_EQ(reading.message(), bad.message);
}

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

const BadOnes kBadOnes[] = {
    {"NoSplits",
     {2, 3},
     {},
     {},
     "targets.ones.row_splits: 0 values, but the 2 rows of shape [2, 3] take "
     "3"},
    {"TooManySplits",
     {2, 3},
     {0, 0, 0, 0},
     {},
     "targets.ones.row_splits: 4 values, but the 2 rows of shape [2, 3] take "
     "3"},
    {"NoSplitsOfNoRows",
     {0, 3},
     {},
     {},
     "targets.ones.row_splits: 0 values, but the 0 rows of shape [0, 3] take "
     "1"},
    {"FirstIsNotZero",
     {2, 3},
     {1, 1, 1},
     {0},
     "targets.ones.row_splits[0]: 1 is not 0"},
    {"SplitsFall",
     {2, 3},
     {0, 2, 1},
     {0, 1},
     "targets.ones.row_splits[2]: 1 is below row_splits[1], 2"},
    {"SplitsBelowZero",
     {2, 3},
     {0, -1, 0},
     {},
     "targets.ones.row_splits[1]: -1 is below row_splits[0], 0"},
    {"EndBelowTheColumns",
     {2, 3},
     {0, 1, 1},
     {0, 1},
     "targets.ones.row_splits[2]: 1 is not the number of columns, 2"},
    {"EndBeyondTheColumns",
     {2, 3},
     {0, 1, kHuge},
     {0, 1},
     "targets.ones.row_splits[2]: 9223372036854775807 is not the number of "
     "columns, 2"},
    {"ColumnTooLarge",
     {2, 3},
     {0, 1, 2},
     {2, 3},
     "targets.ones.columns[1]: 3 is not in [0, 3)"},
    {"ColumnHuge",
     {2, 3},
     {0, 1, 2},
     {2, kHuge},
     "targets.ones.columns[1]: 9223372036854775807 is not in [0, 3)"},
    {"ColumnNegative",
     {2, 3},
     {0, 1, 2},
     {-1, 0},
     "targets.ones.columns[0]: -1 is not in [0, 3)"},
    {"ColumnTwice",
     {2, 3},
     {0, 0, 2},
     {1, 1},
     "targets.ones.columns[1]: 1 is not above columns[0], 1, of the same row "
     "1"},
    {"ColumnsFall",
     {2, 3},
     {0, 2, 3},
     {2, 0, 1},
     "targets.ones.columns[1]: 0 is not above columns[0], 2, of the same row "
     "0"},
    {"AnyColumnOfNone",
     {2, 0},
     {0, 1, 1},
     {0},
     "targets.ones.columns[0]: 0 is not in [0, 0)"},
    {"NoFirstDimension",
     {},
     {0},
     {},
     "targets.ones: the rows are the first dimension, and the shape [] has "
     "none"},
};

INSTANTIATE_TEST_SUITE_P(Validation, OnesRefused, testing::ValuesIn(kBadOnes),
                         [](const auto& bad) {
                           return std::string(bad.param.name);
                         });

// Returns the indices of the ones of numpy.eye(rows, columns, diagonal), as the
// segment has them.
std::optional<std::vector<uint64_t>> Eye(int64_t rows, int64_t columns,
                                         int64_t diagonal) {
  Request request;
  SetFloats(request.mutable_logits(), {rows, columns},
            static_cast<size_t>(rows * columns));
  request.mutable_targets()->mutable_identity()->set_diagonal(diagonal);
  const Reading reading(request);
  if (!reading.status.ok()) return std::nullopt;
  const kernels::Ones& ones = reading.valid.segment().ones;
  EXPECT_TRUE(ones.indices.empty());
  std::vector<uint64_t> indices;
  for (uint64_t i = 0; i < ones.count; ++i) {
    indices.push_back(ones.first + i * ones.stride);
  }
  return indices;
}

TEST(Identity, IsTheDiagonalOfEveryMatrix) {
  for (int64_t rows = 0; rows < 5; ++rows) {
    for (int64_t columns = 0; columns < 5; ++columns) {
      for (int64_t diagonal = -6; diagonal <= 6; ++diagonal) {
        std::vector<uint64_t> expected;
        for (int64_t i = 0; i < rows; ++i) {
          const int64_t j = i + diagonal;
          if (j >= 0 && j < columns) {
            expected.push_back(static_cast<uint64_t>(i * columns + j));
          }
        }
        EXPECT_EQ(Eye(rows, columns, diagonal), expected)
            << rows << " x " << columns << ", diagonal " << diagonal;
      }
    }
  }
}

TEST(Identity, HasNoOnesWhereTheDiagonalIsFarOutside) {
  for (const int64_t far : {std::numeric_limits<int64_t>::min(), kHuge}) {
    EXPECT_EQ(Eye(3, 3, far), std::vector<uint64_t>());
  }
}

TEST(Identity, IsOfTwoDimensions) {
  Request request;
  SetFloats(request.mutable_logits(), {2, 2, 3}, 12);
  request.mutable_targets()->mutable_identity();
  const Reading three(request);
  EXPECT_TRUE(absl::IsInvalidArgument(three.status));
  EXPECT_EQ(three.message(),
            "targets.identity: the shape [2, 2, 3] has 3 dimensions, not 2");
  for (const int64_t dim : {2, 6}) request.mutable_targets()->add_shape(dim);
  request.mutable_spec()->set_target_shape_rule(
      v1::TARGET_SHAPE_RULE_SAME_COUNT);
  const Reading two(request);
  ASSERT_TRUE(two.status.ok()) << two.status;
  EXPECT_EQ(two.valid.segment().ones.stride, 7U);
  EXPECT_EQ(two.valid.segment().ones.count, 2U);
}

TEST(Ones, OfOneRequestAreNotThoseOfTheNext) {
  wire::RequestParser parser;
  ValidRequest valid;
  const auto read = [&](const Request& request) {
    const grpc::Slice slice(request.SerializeAsString());
    absl::Status status = parser.Parse(grpc::ByteBuffer(&slice, 1));
    status.Update(valid.Read(parser));
    return status;
  };
  ASSERT_TRUE(read(WithOnes({2, 3}, {0, 1, 2}, {0, 1})).ok());
  valid.Clear();
  ASSERT_TRUE(read(TwoByThree()).ok());
  EXPECT_TRUE(valid.segment().targets.present());
  EXPECT_THAT(valid.segment().ones.indices, IsEmpty());
  EXPECT_EQ(valid.converted_bytes(), 0U);
  valid.Clear();
  ASSERT_TRUE(read(WithOnes({1, 3}, {0, 1}, {2})).ok());
  EXPECT_THAT(valid.segment().ones.indices, ElementsAre(2));
}

}  // namespace
}  // namespace lossd::request
