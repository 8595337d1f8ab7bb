// The training jobs that clients name: each has metrics of its own (D93).
#include <gtest/gtest.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/sigmoid_loss.h"
#include "tests/integration/entry_stream.h"
#include "tests/integration/running_server.h"
#include "tests/integration/ways.h"

namespace lossd {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
// StreamLoss computes it in two windows, and the executors in portions.
constexpr int64_t kLarge = 100 * kBlock + 777;

// A summary of a job, as the metrics have it.
struct Summary {
  double count = 0;
  double sum = 0;
};
Summary SummaryOf(RunningServer& server, const std::string& name,
                  const std::string& job) {
  for (const auto& family :
       server.server().metrics().collectable()->Collect()) {
    if (family.name != name) continue;
    for (const auto& metric : family.metric) {
      if (metric.label.at(0).value != job) continue;
      return {static_cast<double>(metric.summary.sample_count),
              metric.summary.sample_sum};
    }
  }
  return {};
}

class NamedJobs : public testing::TestWithParam<Way> {
 protected:
  static grpc::Status Ask(RunningServer& server,
                          const v1::ComputeLossRequest& request,
                          const std::vector<std::string>& names) {
    grpc::ClientContext context;
    for (const std::string& name : names) {
      context.AddMetadata("lossd-job", name);
    }
    return GetParam().ask(server.stub(), request, &context);
  }
};

INSTANTIATE_TEST_SUITE_P(Every, NamedJobs, testing::ValuesIn(kWays),
                         [](const auto& way) { return way.param.name; });

double LossOf(RunningServer& server, const v1::ComputeLossRequest& request,
              double* gradient_squares) {
  v1::ComputeLossResponse response;
  const grpc::Status status = server.Call(request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  *gradient_squares = 0;
  for (const float g : Floats(response.gradient())) {
    *gradient_squares += static_cast<double>(g) * g;
  }
  return response.loss();
}

TEST_P(NamedJobs, HaveTheLossAndTheGradientOfTheirRequests) {
  RunningServer server;
  const v1::ComputeLossRequest request = SomeRequest(kLarge);
  double squares = 0;
  const double loss = LossOf(server, request, &squares);
  ASSERT_TRUE(Ask(server, request, {"run 7"}).ok());
  ASSERT_TRUE(Ask(server, request, {"run 7"}).ok());
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_job_requests_total", "run 7"), 2);
  EXPECT_EQ(server.Counter("lossd_job_elements_total", "run 7"), 2 * kLarge);
  const Summary losses = SummaryOf(server, "lossd_job_loss", "run 7");
  EXPECT_EQ(losses.count, 2 * kLarge);
  EXPECT_NEAR(losses.sum / losses.count, loss, 1e-9 * loss);
  const Summary norms = SummaryOf(server, "lossd_job_gradient_square", "run 7");
  EXPECT_EQ(norms.count, 2);
  EXPECT_NEAR(norms.sum / norms.count, squares, 0.2 * squares);
  EXPECT_EQ(server.Counter("lossd_job_sampled_elements_total", "run 7"),
            2 * (100 * 16 + 64));
}

// The client of a stream scales the gradient where the normalizer is a count of
// the data, but not the loss of its job.
TEST_P(NamedJobs, HaveTheLossWithItsWeight) {
  RunningServer server;
  v1::ComputeLossRequest request = SomeRequest(kLarge);
  for (const double weight : {1.0, 3.0}) {
    request.mutable_spec()->set_ignore_target(0.5);
    request.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
    request.mutable_spec()->set_loss_weight(weight);
    ASSERT_TRUE(Ask(server, request, {absl::StrCat("by ", weight)}).ok());
  }
  server.CountAll();
  const Summary once = SummaryOf(server, "lossd_job_loss", "by 1");
  const Summary thrice = SummaryOf(server, "lossd_job_loss", "by 3");
  EXPECT_GT(once.sum, 0);
  EXPECT_NEAR(thrice.sum, 3 * once.sum, 1e-9 * thrice.sum);
}

// Each method has the same sample, whatever its windows and batches are.
TEST(JobsOfEveryMethod, HaveTheSameSample) {
  std::vector<std::vector<double>> samples;
  for (const Way& way : kWays) {
    RunningServer server;
    grpc::ClientContext context;
    context.AddMetadata("lossd-job", "a");
    ASSERT_TRUE(way.ask(server.stub(), SomeRequest(kLarge), &context).ok());
    server.CountAll();
    auto& sample = samples.emplace_back();
    for (const char* name : {"sampled_elements", "positives", "saturated"}) {
      sample.push_back(
          server.Counter(std::string("lossd_job_") + name + "_total", "a"));
    }
    EXPECT_GT(sample[1], 0);
    EXPECT_EQ(sample, samples[0]) << way.name;
  }
}

TEST_P(NamedJobs, CountNansOfRequestsThatAreRefused) {
  RunningServer server;
  v1::ComputeLossRequest request = SomeRequest(3);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  SetFloats(request.mutable_logits(), {3}, {nan, 1, nan});
  EXPECT_EQ(Ask(server, request, {"a"}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_job_nan_logits_total", "a"), 2);
  EXPECT_EQ(server.Counter("lossd_job_bad_losses_total", "a"), 1);
  EXPECT_EQ(SummaryOf(server, "lossd_job_loss", "a").sum, 0);
}

TEST_P(NamedJobs, AreRefusedWithABadName) {
  RunningServer server;
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{""}, {std::string(65, 'w')}, {"a", "b"}}) {
    const grpc::Status status = Ask(server, SomeRequest(kBlock), names);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message().find("metadata lossd-job: "), 0U)
        << status.error_message();
  }
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {"good"}).ok());
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {}).ok());
  server.CountAll();
  // The call without a name does not count for the one before it.
  EXPECT_EQ(server.Counter("lossd_job_requests_total"), 1);
}

TEST_P(NamedJobs, BeyondTheLimitCountTogether) {
  Config config;
  config.max_jobs = 2;
  RunningServer server(config);
  for (const char* name : {"a", "b", "c", "d", "a"}) {
    ASSERT_TRUE(Ask(server, SomeRequest(kBlock), {name}).ok());
  }
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_job_requests_total", "a"), 2);
  EXPECT_EQ(server.Counter("lossd_job_requests_total", "b"), 1);
  EXPECT_EQ(server.Counter("lossd_job_requests_total", "c"), 0);
  EXPECT_EQ(server.Counter("lossd_job_requests_total", "other"), 2);
}

TEST_P(NamedJobs, AreNotLookedAtWithALimitOf0) {
  Config config;
  config.max_jobs = 0;
  RunningServer server(config);
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {std::string(65, 'w')}).ok());
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {"a"}).ok());
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_job_requests_total"), 0);
}

}  // namespace
}  // namespace lossd
