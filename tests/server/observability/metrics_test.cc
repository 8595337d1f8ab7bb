#include "server/observability/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "server/observability/shard.h"
#include "tests/server/observability/exposition.h"

namespace lossd::observability {
namespace {

using kernels::ElementType;
using kernels::LossKind;

constexpr auto kUnary = Method::kComputeLoss;

TEST(Metrics, AreExactAfterManyThreadsHaveRecorded) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 1000;
  Metrics metrics("1.2.3", "cpu/TEST");
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&metrics] {
      for (int i = 0; i < kRounds; ++i) {
        metrics.RecordCallAccepted(kUnary);
        metrics.RecordCallFinished(kUnary,
                                   i % 4 == 0
                                       ? absl::StatusCode::kInvalidArgument
                                       : absl::StatusCode::kOk,
                                   absl::Microseconds(i));
        metrics.RecordBytesReceived(3);
        metrics.RecordBytesSent(5);
        metrics.RecordElements(LossKind::kSigmoidFocal, ElementType::kBFloat16,
                               7);
        metrics.RecordNanLogits(2);
        metrics.RecordRejection("bytes");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  // The counts of the threads stay, although every thread has ended.
  const Exposition seen = Scrape(metrics);
  constexpr double kCalls = kThreads * kRounds;
  EXPECT_EQ(seen.at(R"(lossd_accepted_total{method="ComputeLoss"})"), kCalls);
  EXPECT_EQ(seen.at(R"(lossd_requests_total{method="ComputeLoss",code="OK"})"),
            kCalls * 3 / 4);
  EXPECT_EQ(
      seen.at(
          R"(lossd_requests_total{method="ComputeLoss",code="INVALID_ARGUMENT"})"),
      kCalls / 4);
  EXPECT_EQ(seen.at("lossd_received_bytes_total"), kCalls * 3);
  EXPECT_EQ(seen.at("lossd_sent_bytes_total"), kCalls * 5);
  EXPECT_EQ(seen.at("lossd_nan_logits_total"), kCalls * 2);
  EXPECT_EQ(
      seen.at(R"(lossd_elements_total{loss="sigmoid_focal",dtype="bfloat16"})"),
      kCalls * 7);
  EXPECT_EQ(seen.at(R"(lossd_rejected_total{reason="bytes"})"), kCalls);
  EXPECT_EQ(seen.at(R"(lossd_request_seconds_count{method="ComputeLoss"})"),
            kCalls);
  // 0 to 999 microseconds, each eight times: 8 * 999 * 1000 / 2 microseconds.
  EXPECT_DOUBLE_EQ(
      seen.at(R"(lossd_request_seconds_sum{method="ComputeLoss"})"), 3.996);
  EXPECT_EQ(
      seen.at(
          R"(lossd_request_seconds_bucket{method="ComputeLoss",le="5e-05"})"),
      kThreads * 51);
  EXPECT_EQ(
      seen.at(
          R"(lossd_request_seconds_bucket{method="ComputeLoss",le="0.0008"})"),
      kThreads * 801);
  EXPECT_EQ(
      seen.at(
          R"(lossd_request_seconds_bucket{method="ComputeLoss",le="+Inf"})"),
      kCalls);
}

TEST(Metrics, NeverShowMoreCallsFinishedThanAccepted) {
  Metrics metrics("1", "cpu/TEST");
  std::atomic<int64_t> begun{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> all_begun{false};
  std::thread accepts([&] {
    while (!stop) {
      metrics.RecordCallAccepted(kUnary);
      begun.fetch_add(1);
    }
  });
  std::thread finishes([&] {
    for (int64_t ended = 0; !all_begun || ended < begun;) {
      if (ended == begun) continue;
      metrics.RecordCallFinished(kUnary, absl::StatusCode::kOk,
                                 absl::ZeroDuration());
      ++ended;
    }
  });
  for (int i = 0; i < 200; ++i) {
    const Exposition seen = Scrape(metrics);
    EXPECT_GE(
        seen.at(R"(lossd_accepted_total{method="ComputeLoss"})"),
        seen.at(R"(lossd_requests_total{method="ComputeLoss",code="OK"})"));
  }
  stop = true;
  accepts.join();
  all_begun = true;  // set only now: the last call may begin after `stop`
  finishes.join();
  const Exposition seen = Scrape(metrics);
  EXPECT_EQ(seen.at(R"(lossd_accepted_total{method="ComputeLoss"})"),
            seen.at(R"(lossd_requests_total{method="ComputeLoss",code="OK"})"));
}

TEST(Metrics, HaveEveryKnownLabelFromTheStart) {
  Metrics metrics("1", "cuda/0");
  const Exposition seen = Scrape(metrics);
  for (
      const char* sample : {
          R"(lossd_accepted_total{method="StreamLoss"})",
          R"(lossd_requests_total{method="GetServerInfo",code="UNAUTHENTICATED"})",
          R"(lossd_request_seconds_count{method="GetServerInfo"})",
          R"(lossd_elements_total{loss="sigmoid_cross_entropy",dtype="float32"})",
          R"(lossd_elements_total{loss="asymmetric",dtype="float16"})",
          R"(lossd_rejected_total{reason="bytes"})",
          R"(lossd_rejected_total{reason="requests"})",
          R"(lossd_rejected_total{reason="share"})",
          R"(lossd_rejected_total{reason="deadline"})",
          R"(lossd_rejected_total{reason="draining"})",
          R"(lossd_compute_seconds_count{backend="cuda/0"})",
          R"(lossd_device_errors_total{device="cuda/0"})",
          "lossd_batch_requests_count",
          "lossd_batch_elements_count",
          "lossd_queue_seconds_count",
          "lossd_saturation",
      }) {
    EXPECT_EQ(seen.at(sample), 0) << sample;
  }
  EXPECT_EQ(seen.at(R"(lossd_build_info{version="1",backend="cuda/0"})"), 1);
  EXPECT_GT(seen.at("process_resident_memory_bytes"), 0);
}

TEST(Metrics, CallEveryCodeByItsName) {
  Metrics metrics("1", "cpu/TEST");
  for (int code = 0; code <= 16; ++code) {
    metrics.RecordCallFinished(kUnary, static_cast<absl::StatusCode>(code),
                               absl::ZeroDuration());
  }
  const Exposition seen = Scrape(metrics);
  for (const char* code :
       {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
        "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
        "UNAUTHENTICATED"}) {
    EXPECT_EQ(
        seen.at(
            std::string(R"(lossd_requests_total{method="ComputeLoss",code=")") +
            code + R"("})"),
        1)
        << code;
  }
}

TEST(Metrics, CountACodeThatDoesNotExistAsInternal) {
  Metrics metrics("1", "cpu/TEST");
  metrics.RecordCallFinished(kUnary, static_cast<absl::StatusCode>(99),
                             absl::ZeroDuration());
  EXPECT_EQ(
      Scrape(metrics).at(
          R"(lossd_requests_total{method="ComputeLoss",code="INTERNAL"})"),
      1);
}

TEST(Metrics, ShowBatchesInPowersOfTwo) {
  Metrics metrics("1", "cpu/TEST");
  metrics.RecordBatch(1, 64);
  metrics.RecordBatch(3, 1000);
  metrics.RecordBatch(5000, int64_t{1} << 40);
  const Exposition seen = Scrape(metrics);
  EXPECT_EQ(seen.at(R"(lossd_batch_requests_bucket{le="1"})"), 1);
  EXPECT_EQ(seen.at(R"(lossd_batch_requests_bucket{le="2"})"), 1);
  EXPECT_EQ(seen.at(R"(lossd_batch_requests_bucket{le="4"})"), 2);
  EXPECT_EQ(seen.at(R"(lossd_batch_requests_bucket{le="4096"})"), 2);
  EXPECT_EQ(seen.at(R"(lossd_batch_requests_bucket{le="+Inf"})"), 3);
  EXPECT_EQ(seen.at("lossd_batch_requests_sum"), 5004);
  EXPECT_EQ(seen.at(R"(lossd_batch_elements_bucket{le="64"})"), 1);
  EXPECT_EQ(seen.at(R"(lossd_batch_elements_bucket{le="1024"})"), 2);
  EXPECT_EQ(seen.at("lossd_batch_elements_count"), 3);
}

TEST(Metrics, TellBackendsApartAndRelateWaitingToComputing) {
  Metrics metrics("1", "cuda/0");
  metrics.RecordQueueWait(absl::Milliseconds(30));
  metrics.RecordQueueWait(absl::Milliseconds(30));
  metrics.RecordCompute("cuda/0", absl::Milliseconds(20));
  metrics.RecordCompute("cpu/TEST", absl::Milliseconds(10));
  metrics.RecordDeviceError("cuda/0");
  const Exposition seen = Scrape(metrics);
  EXPECT_DOUBLE_EQ(seen.at(R"(lossd_compute_seconds_sum{backend="cuda/0"})"),
                   0.02);
  EXPECT_DOUBLE_EQ(seen.at(R"(lossd_compute_seconds_sum{backend="cpu/TEST"})"),
                   0.01);
  EXPECT_DOUBLE_EQ(seen.at("lossd_queue_seconds_sum"), 0.06);
  EXPECT_EQ(seen.at(R"(lossd_device_errors_total{device="cuda/0"})"), 1);
  EXPECT_DOUBLE_EQ(seen.at("lossd_saturation"), 2);
}

TEST(Metrics, ReadAGaugeAtEachScrape) {
  Metrics metrics("1", "cpu/TEST");
  double depth = 3;
  metrics.AddGauge(metric::kQueueDepth, [&] { return depth; });
  EXPECT_EQ(Scrape(metrics).at("lossd_queue_depth"), 3);
  depth = 4;
  EXPECT_EQ(Scrape(metrics).at("lossd_queue_depth"), 4);
}

TEST(Metrics, DoNotMixTwoServersInOneProcess) {
  Metrics a("1", "cpu/TEST");
  Metrics b("1", "cpu/TEST");
  a.RecordBytesSent(1);
  b.RecordBytesSent(10);
  a.RecordBytesSent(1);
  EXPECT_EQ(Scrape(a).at("lossd_sent_bytes_total"), 2);
  EXPECT_EQ(Scrape(b).at("lossd_sent_bytes_total"), 10);
}

// The counters are arrays, so a kind or a type beyond them would be counted in
// the memory behind. A kind or type that is added gets a name, by which this
// test notices it.
TEST(Metrics, HaveCountersForEveryKindAndType) {
  EXPECT_EQ(Name(static_cast<LossKind>(kLossKindCount)), "unknown");
  EXPECT_NE(Name(static_cast<LossKind>(kLossKindCount - 1)), "unknown");
  EXPECT_EQ(Name(static_cast<ElementType>(kElementTypes.size())), "unknown");
  EXPECT_NE(Name(kElementTypes.back()), "unknown");
}

TEST(Metrics, FollowTheNamingRulesOfPrometheus) {
  Metrics metrics("1", "cuda/0");
  const Exposition seen = Scrape(metrics);
  EXPECT_THAT(seen.types, testing::SizeIs(testing::Gt(15)));
  for (const auto& [name, type] : seen.types) {
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name;
    EXPECT_THAT(seen.helps.at(name), testing::EndsWith(".")) << name;
  }
}

}  // namespace
}  // namespace lossd::observability
