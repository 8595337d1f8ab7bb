#include "bench/load/load.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "bench/load/report.h"
#include "bench/load/sample_request.h"
#include "tests/client/cpp/fake_loss_server.h"

namespace lossd::bench {
namespace {

LoadOptions OptionsFor(const client::FakeLossServer& server) {
  LoadOptions options;
  for (int i = 0; i < 2; ++i) {
    options.channels.push_back(grpc::CreateChannel(
        server.target(), grpc::InsecureChannelCredentials()));
  }
  const grpc::Slice request(MakeSample({})->SerializeAsString());
  options.messages = {grpc::ByteBuffer(&request, 1)};
  options.duration = absl::Seconds(60);
  options.requests = 500;
  options.threads = 2;
  options.concurrency = 7;
  return options;
}

// Regions of shared memory must not be used by two calls at once.
TEST(LoadTest, ACallInFlightNeverSharesItsMessageWithAnother) {
  absl::Mutex mu;
  absl::flat_hash_set<std::string> in_flight;
  bool shared = false;
  client::FakeLossServer server(
      [&](auto& context, const auto& request, auto& response) {
        {
          absl::MutexLock lock(&mu);
          shared |= !in_flight.insert(request.request_id()).second;
        }
        const auto status = client::AnswerLogits(context, request, response);
        absl::MutexLock lock(&mu);
        in_flight.erase(request.request_id());
        return status;
      });
  LoadOptions options = OptionsFor(server);
  options.messages.clear();
  for (int i = 0; i < options.concurrency; ++i) {
    v1::ComputeLossRequest request = *MakeSample({});
    request.set_request_id(std::to_string(i));
    const grpc::Slice bytes(request.SerializeAsString());
    options.messages.push_back(grpc::ByteBuffer(&bytes, 1));
  }
  EXPECT_EQ(RunLoad(options).succeeded, 500);
  EXPECT_FALSE(shared);
}

TEST(LoadTest, AClosedLoopMakesAsManyCallsAsAskedAndCountsThemAll) {
  std::atomic<int> calls = 0;
  client::FakeLossServer server(
      [&](auto& context, const auto& request, auto& response) {
        ++calls;
        return client::AnswerLogits(context, request, response);
      });
  const LoadReport report = RunLoad(OptionsFor(server));
  EXPECT_EQ(calls, 500);
  EXPECT_EQ(report.succeeded, 500);
  EXPECT_EQ(report.latency.count(), 500);
  EXPECT_TRUE(report.errors.empty());
  EXPECT_GT(report.reply_bytes, 64 * 4);
}

TEST(LoadTest, AnOpenLoopMakesAsManyCallsAsAskedAndCountsThemAll) {
  std::atomic<int> calls = 0;
  client::FakeLossServer server([&](auto&, const auto&, auto&) {
    ++calls;
    return grpc::Status::OK;
  });
  LoadOptions options = OptionsFor(server);
  options.rate = 1e5;
  const LoadReport report = RunLoad(options);
  EXPECT_EQ(calls, 500);
  EXPECT_EQ(report.succeeded, 500);
}

// The server holds the only place until the call's deadline, so the other calls
// have waited for half of their timeouts.
TEST(LoadTest, AnOpenLoopCountsCallsThatItCannotSendInTime) {
  absl::Notification over;
  client::FakeLossServer server([&](auto&, const auto&, auto&) {
    over.WaitForNotification();
    return grpc::Status::OK;
  });
  LoadOptions options = OptionsFor(server);
  options.rate = 1e6;
  options.requests = 10;
  options.concurrency = 1;
  options.timeout = absl::Milliseconds(200);
  const LoadReport report = RunLoad(options);
  over.Notify();
  EXPECT_EQ(report.succeeded, 0);
  EXPECT_GE(report.unsent, 9);
  EXPECT_EQ(
      report.unsent +
          (report.errors.empty() ? 0 : report.errors.at("DEADLINE_EXCEEDED")),
      10);
}

TEST(LoadTest, ErrorsAreCountedByCodeAndLeaveNoLatency) {
  std::atomic<int> calls = 0;
  client::FakeLossServer server([&](auto&, const auto&, auto&) {
    return ++calls % 5 == 0
               ? grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full")
               : grpc::Status::OK;
  });
  const LoadReport report = RunLoad(OptionsFor(server));
  EXPECT_EQ(report.succeeded, 400);
  EXPECT_EQ(report.errors.at("RESOURCE_EXHAUSTED"), 100);
  EXPECT_EQ(report.latency.count(), 400);
}

TEST(ReportTest, RatesAreThoseOfTheCallsThatSucceeded) {
  LoadReport report;
  for (int i = 0; i < 10; ++i) report.latency.Record(absl::Microseconds(100));
  report.succeeded = 10;
  report.errors["UNAVAILABLE"] = 3;
  report.reply_bytes = 40;
  report.elapsed = absl::Seconds(2);
  const auto json = nlohmann::json::parse(
      ReportJson(report, {.elements = 64, .request_bytes = 60}));
  EXPECT_EQ(json["requests_per_second"], 5.0);
  EXPECT_EQ(json["elements_per_second"], 320.0);
  EXPECT_EQ(json["bytes_per_second"], 500.0);
  EXPECT_EQ(json["errors"]["UNAVAILABLE"], 3);
  EXPECT_EQ(json["latency_us"]["p99"], 100.0);
}

// Computes the right answer to `sample` from the formula, in float64.
v1::ComputeLossResponse RightAnswer(const v1::ComputeLossRequest& sample) {
  const auto n = static_cast<size_t>(sample.logits().shape(0));
  std::vector<double> logits(n);
  std::vector<double> targets(n);
  std::memcpy(logits.data(), sample.logits().data().data(), n * 8);
  std::memcpy(targets.data(), sample.targets().data().data(), n * 8);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += std::log1p(std::exp(logits[i])) - logits[i] * targets[i];
    logits[i] =
        (1 / (1 + std::exp(-logits[i])) - targets[i]) / static_cast<double>(n);
  }
  v1::ComputeLossResponse response;
  response.set_loss(sum / static_cast<double>(n));
  response.mutable_gradient()->set_data(logits.data(), n * 8);
  response.mutable_gradient()->set_dtype(v1::DATA_TYPE_FLOAT64);
  return response;
}

TEST(SampleRequestTest, OnlyTheRightAnswerIsAccepted) {
  const auto sample = MakeSample(
      {.elements = 100, .dtype = "float64", .targets_dtype = "float64"});
  ASSERT_TRUE(sample.ok());
  v1::ComputeLossResponse response = RightAnswer(*sample);
  EXPECT_TRUE(CheckAnswer(*sample, response.SerializeAsString()).ok())
      << CheckAnswer(*sample, response.SerializeAsString());
  response.set_loss(response.loss() * 1.001);
  EXPECT_FALSE(CheckAnswer(*sample, response.SerializeAsString()).ok());
  response = RightAnswer(*sample);
  (*response.mutable_gradient()->mutable_data())[99 * 8 + 6] ^= 1;
  EXPECT_FALSE(CheckAnswer(*sample, response.SerializeAsString()).ok());
  EXPECT_FALSE(CheckAnswer(*sample, "").ok());
}

}  // namespace
}  // namespace lossd::bench
