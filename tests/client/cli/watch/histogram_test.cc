#include "client/cli/watch/histogram.h"

#include <gtest/gtest.h>

#include <limits>

namespace lossd::cli::watch {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// tests/e2e/test_lossctl_watch.py compares quantiles with Prometheus' own.
TEST(HistogramTest, QuantilesLieEvenlyInTheirBucket) {
  const Histogram histogram{{{1, 0}, {2, 10}, {4, 30}, {kInfinity, 40}}, 40, 0};
  EXPECT_DOUBLE_EQ(*histogram.Quantile(0.25), 2);
  EXPECT_DOUBLE_EQ(*histogram.Quantile(0.5), 3);
  EXPECT_DOUBLE_EQ(*histogram.Quantile(0.125), 1.5);
}

TEST(HistogramTest, AQuantileInTheOpenBucketIsTheHighestBound) {
  const Histogram histogram{{{1, 0}, {4, 30}, {kInfinity, 40}}, 40, 0};
  EXPECT_EQ(histogram.Quantile(0.99), 4);
}

TEST(HistogramTest, TheLowestBucketBeginsAtZero) {
  const Histogram histogram{{{8, 4}, {16, 4}, {kInfinity, 4}}, 4, 10};
  EXPECT_DOUBLE_EQ(*histogram.Quantile(0.25), 2);
  EXPECT_EQ(histogram.Mean(), 2.5);
}

TEST(HistogramTest, WithoutValuesThereIsNoQuantileAndNoMean) {
  const Histogram zeros{{{1, 0}, {kInfinity, 0}}, 0, 0};
  EXPECT_EQ(zeros.Quantile(0.5), std::nullopt);
  EXPECT_EQ(zeros.Mean(), std::nullopt);
  EXPECT_EQ(Histogram().Quantile(0.5), std::nullopt);
}

TEST(HistogramTest, IsThatOfItsLabelsInTheOrderOfItsBounds) {
  const auto page = ParseExposition(
      "t_bucket{m=\"a\",le=\"+Inf\"} 3\nt_bucket{m=\"a\",le=\"10\"} 2\n"
      "t_bucket{m=\"a\",le=\"9\"} 1\nt_bucket{m=\"b\",le=\"+Inf\"} 7\n"
      "t_sum{m=\"a\"} 30\nt_count{m=\"a\"} 3\n");
  ASSERT_TRUE(page.ok());
  const Histogram histogram = HistogramOf(*page, "t", {{"m", "a"}});
  ASSERT_EQ(histogram.buckets.size(), 3u);
  EXPECT_EQ(histogram.buckets[0].bound, 9);
  EXPECT_EQ(histogram.buckets[1].count, 2);
  EXPECT_EQ(histogram.Mean(), 10);
  EXPECT_TRUE(HistogramOf(*page, "t").buckets.empty());
}

TEST(HistogramTest, BetweenTwoReadingsAreTheValuesThatCame) {
  const Histogram earlier{{{1, 2}, {kInfinity, 3}}, 3, 5};
  const Histogram later{{{1, 2}, {kInfinity, 7}}, 7, 25};
  const Histogram between = Between(earlier, later);
  EXPECT_EQ(between.buckets[0].count, 0);
  EXPECT_EQ(between.buckets[1].count, 4);
  EXPECT_EQ(between.Mean(), 5);
}

TEST(HistogramTest, OneThatBeganAnewIsTakenWhole) {
  const Histogram earlier{{{1, 2}, {kInfinity, 3}}, 3, 5};
  const Histogram fewer{{{1, 1}, {kInfinity, 4}}, 4, 8};
  EXPECT_EQ(Between(earlier, fewer).count, 4);
  const Histogram other_bounds{{{2, 5}, {kInfinity, 5}}, 5, 8};
  EXPECT_EQ(Between(earlier, other_bounds).count, 5);
  EXPECT_EQ(Between(Histogram(), fewer).count, 4);
}

}  // namespace
}  // namespace lossd::cli::watch
