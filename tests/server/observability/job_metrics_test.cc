#include "server/observability/job_metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/observability/exposition.h"

namespace lossd::observability {
namespace {

constexpr absl::Time kStart = absl::UnixEpoch();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string Of(const std::string& metric, const std::string& job) {
  return metric + "{training_job=\"" + job + "\"}";
}

TEST(JobMetrics, HaveNoSamplesWithoutJobs) {
  const Metrics metrics("1", "cpu/TEST", 4);
  const Exposition seen = Scrape(metrics);
  for (const auto& [sample, value] : seen.samples) {
    EXPECT_EQ(sample.find("lossd_job"), std::string::npos) << sample;
  }
  EXPECT_EQ(seen.helps.count("lossd_job_loss"), 1u);
}

TEST(JobMetrics, AddUpTheTasksAndSamplesOfAJob) {
  Metrics metrics("1", "cpu/TEST", 4);
  JobMetrics& jobs = metrics.jobs();
  const uint64_t a = jobs.names().NumberOf("a", kStart);
  const uint64_t b = jobs.names().NumberOf("b", kStart);
  jobs.Record(a, {.has_gradient = true,
                  .elements = 10,
                  .nan_logits = 2,
                  .valid_elements = 8,
                  .loss_sum = 4});
  jobs.Record(a, {.begins_request = false,
                  .has_gradient = true,
                  .elements = 3,
                  .valid_elements = 3,
                  .loss_sum = 1.5});
  jobs.Record(b, {.elements = 1, .valid_elements = 1, .loss_sum = 7});
  jobs.Record(a, kernels::Sample{.elements = 5,
                                 .positives = 2,
                                 .saturated = 1,
                                 .gradient_squares = 0.25,
                                 .bad_gradients = 3});
  jobs.Record(a, kernels::Sample{.elements = 5, .gradient_squares = 0.5});
  const Exposition seen = Scrape(metrics);
  EXPECT_EQ(seen.at(Of("lossd_job_requests_total", "a")), 1);
  EXPECT_EQ(seen.at(Of("lossd_job_elements_total", "a")), 13);
  EXPECT_EQ(seen.at(Of("lossd_job_nan_logits_total", "a")), 2);
  EXPECT_EQ(seen.at(Of("lossd_job_loss_sum", "a")), 5.5);
  EXPECT_EQ(seen.at(Of("lossd_job_loss_count", "a")), 11);
  EXPECT_EQ(seen.at(Of("lossd_job_gradient_square_sum", "a")), 0.75);
  EXPECT_EQ(seen.at(Of("lossd_job_gradient_square_count", "a")), 1);
  EXPECT_EQ(seen.at(Of("lossd_job_bad_gradients_total", "a")), 3);
  EXPECT_EQ(seen.at(Of("lossd_job_sampled_elements_total", "a")), 10);
  EXPECT_EQ(seen.at(Of("lossd_job_positives_total", "a")), 2);
  EXPECT_EQ(seen.at(Of("lossd_job_saturated_total", "a")), 1);
  EXPECT_EQ(seen.at(Of("lossd_job_bad_losses_total", "a")), 0);
  EXPECT_EQ(seen.at(Of("lossd_job_loss_sum", "b")), 7);
  EXPECT_EQ(seen.at(Of("lossd_job_gradient_square_count", "b")), 0);
  EXPECT_EQ(seen.types.at("lossd_job_loss"), "summary");
}

TEST(JobMetrics, KeepSumsFiniteAndRising) {
  Metrics metrics("1", "cpu/TEST", 4);
  JobMetrics& jobs = metrics.jobs();
  const uint64_t a = jobs.names().NumberOf("a", kStart);
  for (const double sum : {2.0, -0.5, std::nan(""), kInfinity, -kInfinity}) {
    jobs.Record(a, {.elements = 4, .valid_elements = 4, .loss_sum = sum});
  }
  jobs.Record(a, {.valid_elements = 1, .loss_sum = 1e308});
  jobs.Record(a, {.valid_elements = 1, .loss_sum = 1e308});
  jobs.Record(a, kernels::Sample{.gradient_squares = kInfinity});
  const Exposition seen = Scrape(metrics);
  EXPECT_EQ(seen.at(Of("lossd_job_loss_sum", "a")), 1e308);
  EXPECT_EQ(seen.at(Of("lossd_job_loss_count", "a")), 9);
  EXPECT_EQ(seen.at(Of("lossd_job_negative_loss_total", "a")), 0.5);
  EXPECT_EQ(seen.at(Of("lossd_job_bad_losses_total", "a")), 4);
  EXPECT_EQ(seen.at(Of("lossd_job_gradient_square_sum", "a")), 0);
  EXPECT_EQ(seen.at(Of("lossd_job_bad_gradients_total", "a")), 1);
}

TEST(JobMetrics, BeginAgainAtZeroForTheNextNameOfAPlace) {
  Metrics metrics("1", "cpu/TEST", 1);
  JobMetrics& jobs = metrics.jobs();
  const uint64_t a = jobs.names().NumberOf("a", kStart);
  jobs.Record(a, {.elements = 10, .valid_elements = 10, .loss_sum = 1e300});
  std::thread([&] { jobs.Record(a, JobTask{.elements = 5}); }).join();
  const uint64_t b = jobs.names().NumberOf("b", kStart + absl::Hours(1));
  EXPECT_EQ(Scrape(metrics).at(Of("lossd_job_elements_total", "b")), 0);
  EXPECT_EQ(Scrape(metrics).samples.count(Of("lossd_job_elements_total", "a")),
            0u);
  jobs.Record(b, {.elements = 3, .valid_elements = 3, .loss_sum = 0.125});
  jobs.Record(a,
              JobTask{.elements = 7});  // a call that took longer than an hour
  const Exposition seen = Scrape(metrics);
  EXPECT_EQ(seen.at(Of("lossd_job_elements_total", "b")), 3);
  EXPECT_EQ(seen.at(Of("lossd_job_loss_sum", "b")), 0.125);
}

TEST(JobMetrics, EscapeTheNamesOfJobs) {
  Metrics metrics("1", "cpu/TEST", 1);
  metrics.jobs().names().NumberOf("a\"b\\c", kStart);
  EXPECT_EQ(Scrape(metrics).at(Of("lossd_job_elements_total", "a\\\"b\\\\c")),
            0);
}

// Scrapes must show no job that falls while names come and go.
TEST(JobMetrics, NeverFallWhileThreadsRecord) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  Metrics metrics("1", "cpu/TEST", 2);
  JobMetrics& jobs = metrics.jobs();
  std::atomic<int64_t> hours{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const std::string name = t == 0 ? "stays" : std::to_string(i / 100);
        const absl::Time now = kStart + absl::Hours(++hours);
        jobs.names().NumberOf("stays", now);
        jobs.Record(jobs.names().NumberOf(name, now), JobTask{.elements = 1});
      }
    });
  }
  double before = 0;
  for (int i = 0; i < 200; ++i) {
    const Exposition seen = Scrape(metrics);
    const auto stays =
        seen.samples.find(Of("lossd_job_elements_total", "stays"));
    if (stays == seen.samples.end()) continue;
    EXPECT_GE(stays->second, before);
    before = stays->second;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Scrape(metrics).at(Of("lossd_job_elements_total", "stays")),
            kRounds);
}

}  // namespace
}  // namespace lossd::observability
