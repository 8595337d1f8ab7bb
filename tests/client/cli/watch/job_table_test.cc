#include "client/cli/watch/job_table.h"

#include <gtest/gtest.h>

namespace lossd::cli::watch {
namespace {

Exposition Page(const std::string& text) {
  auto page = ParseExposition(text);
  EXPECT_TRUE(page.ok()) << page.status();
  return *std::move(page);
}

TEST(JobTableTest, HasARowForEachJobAndAColumnForEachMetric) {
  const Exposition before =
      Page("lossd_job_requests_total{job=\"a\",code=\"OK\"} 10\n");
  const Exposition after = Page(
      "# TYPE lossd_job_requests_total counter\n"
      "lossd_job_requests_total{job=\"a\",code=\"OK\"} 30\n"
      "lossd_job_requests_total{job=\"a\",code=\"UNAVAILABLE\"} 2\n"
      "lossd_job_requests_total{job=\"b\",code=\"OK\"} 8\n"
      "lossd_job_waiting{job=\"b\"} 3\n"
      "lossd_jobs 2\n");
  const JobTable jobs = JobsBetween(before, after, 2);
  EXPECT_EQ(jobs, (JobTable{{"a", {{"requests/s", 11}}},
                            {"b", {{"requests/s", 4}, {"waiting", 3}}}}));
}

TEST(JobTableTest, ShowsThe99thPercentileOfAHistogram) {
  const JobTable jobs =
      JobsBetween({},
                  Page("# TYPE lossd_job_seconds histogram\n"
                       "lossd_job_seconds_bucket{job=\"a\",le=\"100\"} 100\n"
                       "lossd_job_seconds_bucket{job=\"a\",le=\"+Inf\"} 100\n"
                       "lossd_job_seconds_sum{job=\"a\"} 7\n"
                       "lossd_job_seconds_count{job=\"a\"} 100\n"),
                  1);
  EXPECT_EQ(jobs, (JobTable{{"a", {{"seconds p99", 99}}}}));
}

TEST(JobTableTest, NamesAJobWithoutTheLabelByAllOfThem) {
  const JobTable jobs =
      JobsBetween({}, Page("lossd_job_slots{tenant=\"x\",name=\"y\"} 1\n"), 1);
  EXPECT_EQ(jobs, (JobTable{{"x y", {{"slots", 1}}}}));
}

}  // namespace
}  // namespace lossd::cli::watch
