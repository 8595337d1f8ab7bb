#include "server/request/window_maker.h"

#include <gtest/gtest.h>

namespace lossd::request {
namespace {

v1::StreamLossHeader HeaderOf(std::vector<int64_t> shape) {
  v1::StreamLossHeader header;
  header.mutable_shape()->Assign(shape.begin(), shape.end());
  return header;
}

class Windows : public testing::Test {
 protected:
  kernels::Segment Window(const StreamPlan& plan, uint64_t first,
                          uint64_t count) {
    absl::StatusOr<kernels::Segment> segment =
        WindowMaker(plan, pool_).Make(first, count, &memory_);
    EXPECT_TRUE(segment.ok()) << segment.status();
    return segment.value_or(kernels::Segment());
  }
  BufferPool pool_{1 << 20};
  WindowMemory memory_;
};

TEST_F(Windows, SeeTheDiagonalThatRunsThroughThem) {
  for (const int64_t diagonal : {0, 3, -2, 100, -100}) {
    v1::StreamLossHeader header = HeaderOf({70, 90});
    header.mutable_targets()->mutable_identity()->set_diagonal(diagonal);
    StreamPlan plan;
    ASSERT_TRUE(plan.Read(header).ok());
    for (uint64_t first = 0; first < 6300; first += 2048) {
      const uint64_t count = std::min<uint64_t>(2048, 6300 - first);
      const kernels::Segment segment = Window(plan, first, count);
      for (uint64_t i = 0; i < count; ++i) {
        const auto row = static_cast<int64_t>((first + i) / 90);
        const auto column = static_cast<int64_t>((first + i) % 90);
        ASSERT_EQ(kernels::TargetAt(segment, i),
                  column == row + diagonal ? 1 : 0)
            << diagonal << " " << first + i;
      }
    }
  }
}

TEST_F(Windows, SeeTheListedOnesThatLieInThem) {
  v1::StreamLossHeader header = HeaderOf({5000});
  v1::SparseIndices& ones = *header.mutable_targets()->mutable_ones();
  ones.add_row_splits(0);
  for (int64_t row = 0; row < 5000; ++row) {
    if (row % 7 == 2) ones.add_columns(0);
    ones.add_row_splits(ones.columns_size());
  }
  StreamPlan plan;
  ASSERT_TRUE(plan.Read(header).ok());
  for (const uint64_t first : {0, 2048, 4096}) {
    const uint64_t count = std::min<uint64_t>(2048, 5000 - first);
    const kernels::Segment segment = Window(plan, first, count);
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_EQ(kernels::TargetAt(segment, i), (first + i) % 7 == 2 ? 1 : 0);
    }
  }
}

TEST_F(Windows, CountElementsIn64Bits) {
  v1::StreamLossHeader header = HeaderOf({int64_t{1} << 30, 1 << 30});
  header.set_logits_dtype(v1::DATA_TYPE_FLOAT64);
  header.set_targets_dtype(v1::DATA_TYPE_BIT);
  StreamPlan plan;
  ASSERT_TRUE(plan.Read(header).ok());
  EXPECT_EQ(plan.element_count(), uint64_t{1} << 60);
  EXPECT_EQ(plan.ByteSize(wire::Field::kLogits, plan.element_count()),
            uint64_t{1} << 63);
  EXPECT_EQ(plan.Summarize({.loss_sum = 0x1p59, .valid_count = 1}).loss(), 0.5);
}

TEST_F(Windows, AreScaledAsTheWholeIs) {
  v1::StreamLossHeader header = HeaderOf({3, 1000});
  header.mutable_spec()->set_normalizer(v1::NORMALIZER_BATCH);
  header.mutable_spec()->set_loss_weight(2);
  StreamPlan plan;
  ASSERT_TRUE(plan.Read(header).ok());
  const kernels::Segment segment = Window(plan, 0, 2048);
  EXPECT_FALSE(kernels::NeedsCounts(segment.options));
  const double normalizer = kernels::NormalizerOf(segment, {});
  EXPECT_EQ(normalizer, 3);
  EXPECT_EQ(kernels::GradientScale(segment, normalizer), 2.0 / 3);
}

TEST_F(Windows, AreNotScaledWhereTheNormalizerComesLast) {
  v1::StreamLossHeader header = HeaderOf({3000});
  header.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  header.mutable_spec()->set_ignore_target(1);
  header.mutable_spec()->set_loss_weight(2);
  StreamPlan plan;
  ASSERT_TRUE(plan.Read(header).ok());
  const kernels::Segment segment = Window(plan, 0, 2048);
  EXPECT_EQ(kernels::GradientScale(segment, kernels::NormalizerOf(segment, {})),
            1);
  const v1::StreamLossSummary summary =
      plan.Summarize({.loss_sum = 30, .valid_count = 10});
  EXPECT_EQ(summary.gradient_scale(), 0.2);
  EXPECT_EQ(summary.loss(), 6);
}

TEST_F(Windows, KnowTheNormalizerBeforehandWhereEachElementCountsOne) {
  for (const auto normalizer :
       {v1::NORMALIZER_VALID, v1::NORMALIZER_NONZERO_WEIGHTS,
        v1::NORMALIZER_WEIGHT_SUM}) {
    v1::StreamLossHeader header = HeaderOf({3000});
    header.mutable_spec()->set_normalizer(normalizer);
    StreamPlan plan;
    ASSERT_TRUE(plan.Read(header).ok());
    const kernels::Segment segment = Window(plan, 0, 2048);
    EXPECT_EQ(kernels::NormalizerOf(segment, {}), 3000);
    EXPECT_FALSE(plan.Summarize({}).has_gradient_scale());
  }
}

}  // namespace
}  // namespace lossd::request
