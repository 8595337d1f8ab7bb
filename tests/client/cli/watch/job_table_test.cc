#include "client/cli/watch/job_table.h"

#include <gtest/gtest.h>

namespace lossd::cli::watch {
namespace {

Exposition Page(const std::string& text) {
  auto page = ParseExposition(text);
  EXPECT_TRUE(page.ok()) << page.status();
  return *std::move(page);
}

TEST(JobTableTest, SaysHowEachJobWentBetweenTheScrapes) {
  const Exposition before = Page(
      "lossd_job_requests_total{training_job=\"a\"} 10\n"
      "lossd_job_loss_sum{training_job=\"a\"} 100\n"
      "lossd_job_loss_count{training_job=\"a\"} 1000\n");
  const Exposition after = Page(
      "lossd_job_requests_total{training_job=\"a\"} 30\n"
      "lossd_job_requests_total{training_job=\"b\"} 8\n"
      "lossd_job_elements_total{training_job=\"a\"} 4000\n"
      "lossd_job_nan_logits_total{training_job=\"a\"} 6\n"
      "lossd_job_loss_sum{training_job=\"a\"} 106\n"
      "lossd_job_negative_loss_total{training_job=\"a\"} 2\n"
      "lossd_job_loss_count{training_job=\"a\"} 1008\n"
      "lossd_job_gradient_square_sum{training_job=\"a\"} 18\n"
      "lossd_job_gradient_square_count{training_job=\"a\"} 2\n"
      "lossd_job_sampled_elements_total{training_job=\"a\"} 40\n"
      "lossd_job_positives_total{training_job=\"a\"} 10\n"
      "lossd_job_saturated_total{training_job=\"a\"} 1\n");
  EXPECT_EQ(JobsBetween(before, after, 2),
            (JobTable{{"a",
                       {{"requests_per_second", 10},
                        {"elements_per_second", 2000},
                        {"nan_per_second", 3},
                        {"loss", 0.5},
                        {"gradient_norm", 3},
                        {"positives", 0.25},
                        {"saturated", 0.025}}},
                      {"b",
                       {{"requests_per_second", 4},
                        {"elements_per_second", 0},
                        {"nan_per_second", 0}}}}));
}

TEST(JobTableTest, IsEmptyWithoutJobs) {
  EXPECT_TRUE(JobsBetween({}, Page("lossd_serving 1\n"), 1).empty());
}

}  // namespace
}  // namespace lossd::cli::watch
