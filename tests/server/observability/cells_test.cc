#include "server/observability/cells.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>
#include <thread>

namespace lossd::observability {
namespace {

// The obvious way: walk the bounds.
size_t BucketByWalking(const Doubling& scale, int64_t value) {
  size_t bucket = 0;
  while (bucket < scale.bounds && value > scale.Bound(bucket)) ++bucket;
  return bucket;
}

TEST(Doubling, PutsEveryValueAroundABoundIntoTheBucketThatWalkingFinds) {
  for (const Doubling& scale : {kSeconds, kBatchRequests, kBatchElements}) {
    for (size_t i = 0; i < scale.bounds; ++i) {
      for (const int64_t off : {-1, 0, 1}) {
        const int64_t value = scale.Bound(i) + off;
        EXPECT_EQ(scale.Bucket(value), BucketByWalking(scale, value)) << value;
      }
    }
    EXPECT_EQ(scale.Bucket(0), 0u);
    EXPECT_EQ(scale.Bucket(std::numeric_limits<int64_t>::max()), scale.bounds);
  }
}

TEST(Doubling, ABoundBelongsToItsBucketAsPrometheusWants) {
  EXPECT_EQ(kSeconds.Bucket(50'000), 0u);
  EXPECT_EQ(kSeconds.Bucket(50'001), 1u);
  EXPECT_EQ(kBatchRequests.Bucket(1), 0u);
  EXPECT_EQ(kBatchRequests.Bucket(2), 1u);
  EXPECT_EQ(kBatchRequests.Bucket(3), 2u);
}

TEST(Histogram, CountsANegativeTimeAsNone) {
  Histogram<kSeconds> histogram;
  histogram.Observe(-5);
  EXPECT_EQ(histogram.sum.Read(), 0);
  EXPECT_EQ(histogram.buckets[0].Read(), 1);
}

TEST(ByLabel, KeepsLabelsApart) {
  ByLabel<Cell> cells;
  cells.At("a").Add(1);
  cells.At("b").Add(2);
  cells.At("a").Add(3);
  std::map<std::string, int64_t> seen;
  cells.ForEach([&](const std::string& label, const Cell& cell) {
    seen[label] = cell.Read();
  });
  EXPECT_EQ(seen, (std::map<std::string, int64_t>{{"a", 4}, {"b", 2}}));
}

TEST(ByLabel, PutsLabelsThatAreTooManyTogether) {
  ByLabel<Cell, 3> cells;
  for (const char* label : {"a", "b", "c", "d", "a", "c"})
    cells.At(label).Add(1);
  std::map<std::string, int64_t> seen;
  cells.ForEach([&](const std::string& label, const Cell& cell) {
    seen[label] = cell.Read();
  });
  EXPECT_EQ(seen,
            (std::map<std::string, int64_t>{{"a", 2}, {"b", 1}, {"other", 3}}));
}

TEST(ByLabel, IsReadableWhileItsThreadAddsLabels) {
  ByLabel<Cell> cells;
  std::thread writer([&] {
    for (int i = 0; i < 15; ++i) cells.At("label" + std::to_string(i)).Add(1);
  });
  for (int i = 0; i < 1000; ++i) {
    cells.ForEach([](const std::string& label, const Cell&) {
      ASSERT_TRUE(label.starts_with("label"));
    });
  }
  writer.join();
  int labels = 0;
  cells.ForEach([&](const std::string&, const Cell& cell) {
    ++labels;
    EXPECT_EQ(cell.Read(), 1);
  });
  EXPECT_EQ(labels, 15);
}

}  // namespace
}  // namespace lossd::observability
