// Connections share the server fairly: each one is a flow of its own.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/sigmoid_loss.h"
#include "tests/integration/loss_stream.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;

// The batch stays open until it is full. When it is taken, more requests wait
// than it can hold, and the polite one was the last to arrive.
TEST(Fairness, AnotherConnectionsRequestOvertakesALongQueue) {
  Config config = OneRpcThread();
  config.cpu_threads = 1;
  config.max_queue_delay = absl::Seconds(10);
  config.max_batch_elements = 100 * kBlock;
  RunningServer server(config);
  constexpr int kGreedy = 24;
  std::deque<PendingCall> greedy;
  for (int i = 0; i < kGreedy; ++i) {
    greedy.emplace_back(server, SomeRequest(4 * kBlock));
  }
  ASSERT_TRUE(server.WaitForTaken(kGreedy));

  const auto stub = v1::LossService::NewStub(server.AnotherConnection());
  grpc::ClientContext context;
  v1::ComputeLossResponse response;
  const grpc::Status status =
      stub->ComputeLoss(&context, SomeRequest(5 * kBlock), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  // The batch has the polite request and all greedy ones but one, which still
  // waits.
  EXPECT_EQ(response.execution().batch_requests(), kGreedy);
  EXPECT_TRUE(server.WaitForTaken(1));
  for (PendingCall& call : greedy) call.Cancel();
}

// Opens streams that send only a header. Such a stream holds a permit and
// computes nothing, so a refusal can only come from admission.
class GreedyConnection {
 public:
  explicit GreedyConnection(RunningServer& server)
      : server_(server),
        stub_(v1::LossService::NewStub(server.AnotherConnection())) {}
  ~GreedyConnection() {
    for (const auto& stream : streams_) stream->context().TryCancel();
    for (const auto& stream : streams_) stream->Finish();
  }

  // Opens streams until one is refused, and returns its status.
  grpc::Status OpenUntilRefused(const v1::StreamLossRequest& header) {
    for (;;) {
      const int64_t inside = server_.server().inflight_requests();
      const double refusals = server_.Counter("lossd_rejected_total");
      auto stream = std::make_unique<OpenStream>(*stub_);
      EXPECT_TRUE(stream->Write(header));
      EXPECT_TRUE(server_.WithinAnswers([&] {
        return server_.server().inflight_requests() > inside ||
               server_.Counter("lossd_rejected_total") > refusals;
      }));
      if (server_.server().inflight_requests() == inside) {
        refused_ = std::move(stream);
        return refused_->Finish();
      }
      streams_.push_back(std::move(stream));
    }
  }
  size_t streams() const { return streams_.size(); }
  const grpc::ClientContext& refused() const { return refused_->context(); }

 private:
  RunningServer& server_;
  std::unique_ptr<v1::LossService::Stub> stub_;
  std::vector<std::unique_ptr<OpenStream>> streams_;
  std::unique_ptr<OpenStream> refused_;
};

// Sends requests one after the other and expects answers. Each follows an
// answer at once: the connection's share may be a single request, and the
// server may still hold the one that it has answered.
void ExpectAnswers(RunningServer& server) {
  const int64_t inside = server.server().inflight_requests();
  for (int i = 0; i < 100; ++i) {
    v1::ComputeLossResponse response;
    const grpc::Status status = server.Call(SomeRequest(1000), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    if (i % 10 != 0) continue;
    const grpc::Status stream =
        RunStream(server, Cut(SomeRequest(1000), 100)).status;
    ASSERT_TRUE(stream.ok()) << stream.error_message();
  }
  // A later OpenUntilRefused() counts requests in flight, so these must be
  // gone.
  EXPECT_TRUE(server.server().WaitForInflight(inside, absl::Seconds(60)));
}

TEST(Fairness,
     APoliteConnectionIsAnsweredWhileGreedyOnesHoldAllRequestsTheyCan) {
  Config config;
  config.max_inflight_requests = 64;
  config.max_inline_elements = 0;  // an executor computes every request
  RunningServer server(config);
  GreedyConnection greedy[2] = {GreedyConnection(server),
                                GreedyConnection(server)};
  for (GreedyConnection& connection : greedy) {
    const grpc::Status refused =
        connection.OpenUntilRefused(HeaderOf(SomeRequest(10)));
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_NE(refused.error_details().find("google.rpc.RetryInfo"),
              std::string::npos);
    EXPECT_EQ(connection.refused().GetServerTrailingMetadata().count(
                  "grpc-retry-pushback-ms"),
              1U);
    ExpectAnswers(server);
  }
  EXPECT_GE(greedy[0].streams(), 56U);  // seven eighths of 64
  EXPECT_EQ(server.Counter("lossd_rejected_total", "share"), 2);
}

TEST(Fairness, APoliteConnectionIsAnsweredWhileGreedyOnesHoldAllBytesTheyCan) {
  Config config;
  config.max_inflight_bytes = int64_t{400} << 20;
  config.max_inline_elements = 0;
  RunningServer server(config);
  GreedyConnection greedy[2] = {GreedyConnection(server),
                                GreedyConnection(server)};
  v1::StreamLossRequest header = HeaderOf(SomeRequest(10));
  header.mutable_header()->set_shape(0, int64_t{1} << 40);
  header.mutable_header()->clear_targets_shape();
  for (GreedyConnection& connection : greedy) {
    const grpc::Status refused = connection.OpenUntilRefused(header);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_NE(refused.error_message().find("share of max_inflight_bytes"),
              std::string::npos)
        << refused.error_message();
    ExpectAnswers(server);
  }
}

}  // namespace
}  // namespace lossd
