#include "client/cli/watch/activity.h"

#include <gtest/gtest.h>

namespace lossd::cli::watch {
namespace {

Scrape At(int64_t seconds, const std::string& page) {
  auto metrics = ParseExposition(page);
  EXPECT_TRUE(metrics.ok()) << metrics.status();
  return {.time = absl::FromUnixSeconds(seconds), .metrics = *metrics};
}

constexpr char kBefore[] =
    "lossd_requests_total{method=\"ComputeLoss\",code=\"OK\"} 100\n"
    "lossd_requests_total{method=\"StreamLoss\",code=\"OK\"} 10\n"
    "lossd_requests_total{method=\"ComputeLoss\",code=\"UNAVAILABLE\"} 5\n"
    "lossd_elements_total{loss=\"sigmoid_focal\",dtype=\"float32\"} 1000\n"
    "lossd_queue_seconds_bucket{le=\"0.1\"} 4\n"
    "lossd_queue_seconds_bucket{le=\"+Inf\"} 4\n"
    "lossd_queue_seconds_sum 1\nlossd_queue_seconds_count 4\n"
    "lossd_compute_seconds_bucket{backend=\"cpu\",le=\"+Inf\"} 2\n"
    "lossd_compute_seconds_bucket{backend=\"cpu\",le=\"1\"} 2\n"
    "lossd_compute_seconds_sum{backend=\"cpu\"} 1\n"
    "lossd_compute_seconds_count{backend=\"cpu\"} 2\n"
    "process_start_time_seconds 900\n";

constexpr char kAfter[] =
    "lossd_requests_total{method=\"ComputeLoss\",code=\"OK\"} 140\n"
    "lossd_requests_total{method=\"StreamLoss\",code=\"OK\"} 16\n"
    "lossd_requests_total{method=\"ComputeLoss\",code=\"UNAVAILABLE\"} 7\n"
    "lossd_elements_total{loss=\"sigmoid_focal\",dtype=\"float32\"} 4000\n"
    "lossd_queue_seconds_bucket{le=\"0.1\"} 14\n"
    "lossd_queue_seconds_bucket{le=\"+Inf\"} 14\n"
    "lossd_queue_seconds_sum 4\nlossd_queue_seconds_count 14\n"
    "lossd_compute_seconds_bucket{backend=\"cpu\",le=\"+Inf\"} 4\n"
    "lossd_compute_seconds_bucket{backend=\"cpu\",le=\"1\"} 4\n"
    "lossd_compute_seconds_sum{backend=\"cpu\"} 3\n"
    "lossd_compute_seconds_count{backend=\"cpu\"} 4\n"
    "lossd_queue_depth 3\nlossd_serving 1\n"
    "lossd_connections{listener=\"tcp\"} 2\n"
    "lossd_build_info{version=\"1.2\",backend=\"cpu/AVX2\"} 1\n";

std::string Started(int64_t time) {
  return "process_start_time_seconds " + std::to_string(time) + "\n";
}

TEST(ActivityTest, RatesArePerSecondOfTheInterval) {
  const Activity a =
      ActivityBetween(At(1000, kBefore), At(1002, kAfter + Started(900)));
  EXPECT_FALSE(a.restarted);
  EXPECT_EQ(a.interval, absl::Seconds(2));
  EXPECT_EQ(a.requests.at("OK"), 23);  // of both methods
  EXPECT_EQ(a.requests.at("UNAVAILABLE"), 1);
  EXPECT_EQ(a.elements.at("sigmoid_focal float32"), 1500);
  EXPECT_EQ(a.queue_seconds.per_second, 5);
  EXPECT_DOUBLE_EQ(*a.queue_seconds.mean, 0.3);
  EXPECT_DOUBLE_EQ(*a.queue_seconds.p50, 0.05);
  EXPECT_EQ(a.compute_seconds.at("cpu").per_second, 1);
}

TEST(ActivityTest, SaturationIsWaitingPerComputing) {
  const Activity busy =
      ActivityBetween(At(1000, kBefore), At(1002, kAfter + Started(900)));
  EXPECT_DOUBLE_EQ(*busy.saturation, 1.5);
  const Scrape same = At(1002, kAfter);
  EXPECT_EQ(ActivityBetween(same, same).saturation, std::nullopt);
}

TEST(ActivityTest, GaugesAreThoseOfTheLaterScrape) {
  const Activity a =
      ActivityBetween(At(1000, kBefore), At(1002, kAfter + Started(900)));
  EXPECT_EQ(a.queue_depth, 3);
  EXPECT_TRUE(a.serving);
  EXPECT_EQ(a.connections.at("tcp"), 2);
  EXPECT_EQ(a.version, "1.2");
  EXPECT_EQ(a.backend, "cpu/AVX2");
  EXPECT_EQ(a.uptime, absl::Seconds(102));
}

TEST(ActivityTest, AnotherProcessCountsFromItsStart) {
  const Activity a =
      ActivityBetween(At(1000, kBefore), At(1002, kAfter + Started(1001)));
  EXPECT_TRUE(a.restarted);
  EXPECT_EQ(a.requests.at("OK"), 78);
  EXPECT_EQ(a.queue_seconds.per_second, 7);
  EXPECT_DOUBLE_EQ(*a.saturation, 4.0 / 3.0);
}

TEST(ActivityTest, ACounterThatWentDownBeganAnew) {
  const Activity a = ActivityBetween(
      At(1000, kBefore),
      At(1001,
         "lossd_requests_total{method=\"ComputeLoss\",code=\"OK\"} 30\n"
         "lossd_requests_total{method=\"StreamLoss\",code=\"OK\"} 11\n"));
  EXPECT_FALSE(a.restarted);
  EXPECT_EQ(a.requests.at("OK"), 31);
}

TEST(ActivityTest, AnEmptyPageIsAllZeros) {
  const Activity a = ActivityBetween(At(1000, ""), At(1000, ""));
  EXPECT_EQ(Total(a.requests), 0);
  EXPECT_FALSE(a.serving);
  EXPECT_EQ(a.queue_seconds.p99, std::nullopt);
  EXPECT_TRUE(a.jobs.empty());
}

}  // namespace
}  // namespace lossd::cli::watch
