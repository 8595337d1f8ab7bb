// A server under load keeps to its budgets, drains, and counts every request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using grpc::StatusCode;

bool HasTrailer(const grpc::ClientContext& context, const char* key) {
  return context.GetServerTrailingMetadata().count(key) > 0;
}

TEST(Overload, IncludesTheRetryDelay) {
  Config config = OneRpcThread();
  config.max_inflight_requests = 1;
  config.max_queue_delay = absl::Seconds(10);
  RunningServer server(config);
  PendingCall first(server, SomeRequest(10));
  ASSERT_TRUE(server.WaitForTaken(1));
  const double before = server.Counter("lossd_rejected_total", "requests");
  grpc::ClientContext context;
  v1::ComputeLossResponse response;
  const grpc::Status status =
      server.stub().ComputeLoss(&context, SomeRequest(10), &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(HasTrailer(context, "grpc-retry-pushback-ms"));
  EXPECT_THAT(status.error_details(),
              testing::HasSubstr("google.rpc.RetryInfo"));
  EXPECT_EQ(server.Counter("lossd_rejected_total", "requests"), before + 1);
  first.Cancel();
}

TEST(Overload, DoesNotAskForARetryThatCannotSucceed) {
  Config config;
  config.max_inflight_bytes = 1000;
  RunningServer server(config);
  grpc::ClientContext context;
  v1::ComputeLossResponse response;
  const grpc::Status status =
      server.stub().ComputeLoss(&context, SomeRequest(1000), &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(HasTrailer(context, "grpc-retry-pushback-ms"));
  EXPECT_TRUE(status.error_details().empty());
}

// A column index of one byte on the wire takes at least 16 bytes when decoded.
TEST(Overload, ChargesSparseTargetsForTheirDecodedSize) {
  Config config;
  config.max_inflight_bytes = 600000;
  RunningServer server(config);
  v1::ComputeLossRequest request;
  constexpr int kRows = 20000;
  request.mutable_logits()->set_dtype(v1::DATA_TYPE_FLOAT32);
  request.mutable_logits()->add_shape(kRows);
  request.mutable_logits()->set_data(std::string(4 * kRows, '\0'));
  v1::SparseIndices& ones = *request.mutable_targets()->mutable_ones();
  for (int row = 0; row < kRows; ++row) {
    ones.add_row_splits(row);
    ones.add_columns(0);
  }
  ones.add_row_splits(kRows);
  ASSERT_LT(request.ByteSizeLong() + 4 * kRows, 300000U);
  v1::ComputeLossResponse response;
  const grpc::Status status = server.Call(request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED)
      << status.error_message();
}

TEST(Drain, FinishesAcceptedRequestsAndRefusesNewOnes) {
  Config config = OneRpcThread();
  config.max_queue_delay = absl::Seconds(1);
  RunningServer server(config);
  PendingCall accepted(server, SomeRequest(10));
  ASSERT_TRUE(server.WaitForTaken(1));
  // The draining server refuses new requests while the accepted one still waits
  // for its batch to fill.
  server.server().BeginDrain();
  v1::ComputeLossResponse response;
  EXPECT_EQ(server.Call(SomeRequest(10), &response).error_code(),
            StatusCode::UNAVAILABLE);
  EXPECT_TRUE(server.server().Shutdown(absl::Seconds(20)));
  EXPECT_TRUE(accepted.Wait().ok()) << accepted.Wait().error_message();
}

TEST(Drain, EndsRequestsThatOutlastItsTimeout) {
  Config config = OneRpcThread();
  config.max_queue_delay = absl::Seconds(10);
  RunningServer server(config);
  PendingCall call(server, SomeRequest(10));
  ASSERT_TRUE(server.WaitForTaken(1));
  EXPECT_FALSE(server.server().Shutdown(absl::ZeroDuration()));
  EXPECT_EQ(call.Wait().error_code(), StatusCode::UNAVAILABLE);
}

// Valid, invalid, cancelled and expired requests arrive at once.
// RunningServer's destructor expects that every accepted request was finished
// and every permit returned.
TEST(Storm, EveryRequestIsCountedOnce) {
  Config config;
  config.max_inflight_requests = 8;
  RunningServer server(config);
  constexpr int kThreads = 12;
  constexpr int kCalls = 60;
  std::atomic<int> ok{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < kThreads; ++t) {
    clients.emplace_back([&server, &ok, t] {
      for (int i = 0; i < kCalls; ++i) {
        v1::ComputeLossRequest request = SomeRequest(i % 4 == 0 ? 50000 : 64);
        if ((t + i) % 5 == 1) request.mutable_logits()->set_shape(0, 1);
        grpc::ClientContext context;
        if ((t + i) % 5 == 2) {
          context.set_deadline(std::chrono::system_clock::now() +
                               std::chrono::microseconds(200));
        }
        v1::ComputeLossResponse response;
        if ((t + i) % 5 == 3) {
          PendingCall call(server, request);
          call.Cancel();
          continue;
        }
        ok += server.stub().ComputeLoss(&context, request, &response).ok();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(ok, 0);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_accepted_total"),
            server.Counter("lossd_requests_total"));
  EXPECT_GE(server.Counter("lossd_requests_total", "OK"), ok.load());
  EXPECT_GT(server.Counter("lossd_requests_total", "INVALID_ARGUMENT"), 0);
}

}  // namespace
}  // namespace lossd
