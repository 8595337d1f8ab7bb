// The flows that a trusted proxy names: clients behind one connection share the
// server fairly (D91).
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernels/sigmoid_loss.h"
#include "tests/integration/loss_stream.h"
#include "tests/integration/running_server.h"
#include "tests/integration/ways.h"

namespace lossd {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;

void NameFlow(const std::string& name, grpc::ClientContext* context) {
  context->AddMetadata("lossd-flow", name);
}

class NamedFlows : public testing::TestWithParam<Way> {
 protected:
  grpc::Status Ask(RunningServer& server, const v1::ComputeLossRequest& request,
                   const std::vector<std::string>& names) {
    grpc::ClientContext context;
    for (const std::string& name : names) NameFlow(name, &context);
    return GetParam().ask(server.stub(), request, &context);
  }
};

INSTANTIATE_TEST_SUITE_P(Every, NamedFlows, testing::ValuesIn(kWays),
                         [](const auto& way) { return way.param.name; });

// One executor takes a batch only once it is full, which the last of these
// requests makes it: 24 of 4 blocks, and one of 5.
constexpr int kGreedy = 24;

Config OneFullBatch(bool trust) {
  Config config = OneRpcThread();
  config.cpu_threads = 1;
  config.max_queue_delay = absl::Seconds(10);
  config.max_batch_elements = 100 * kBlock;
  config.trust_flow_header = trust;
  return config;
}

std::deque<PendingCall> CallGreedily(RunningServer& server) {
  std::deque<PendingCall> calls;
  for (int i = 0; i < kGreedy; ++i) {
    calls.emplace_back(server, SomeRequest(4 * kBlock), "greedy");
  }
  EXPECT_TRUE(server.WaitForTaken(kGreedy));
  return calls;
}

TEST_P(NamedFlows, TakeTurnsOverOneConnection) {
  RunningServer server(OneFullBatch(/*trust=*/true));
  std::deque<PendingCall> greedy = CallGreedily(server);
  const grpc::Status polite = Ask(server, SomeRequest(5 * kBlock), {"polite"});
  EXPECT_TRUE(polite.ok()) << polite.error_message();
  // The last of the greedy ones still waits.
  EXPECT_TRUE(server.WaitForTaken(1));
  for (PendingCall& call : greedy) call.Cancel();
}

TEST(UntrustedFlowNames, DoNotChangeTheTurns) {
  RunningServer server(OneFullBatch(/*trust=*/false));
  std::deque<PendingCall> greedy = CallGreedily(server);
  PendingCall polite(server, SomeRequest(5 * kBlock), "polite");
  for (PendingCall& call : greedy) {
    const grpc::Status status = call.Wait();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_TRUE(server.WaitForTaken(1));
  polite.Cancel();
  EXPECT_EQ(polite.Wait().error_code(), grpc::StatusCode::CANCELLED);
}

// A flow that opens streams, which send only a header, until one is refused.
class GreedyFlow {
 public:
  explicit GreedyFlow(RunningServer& server) {
    const v1::StreamLossRequest header = HeaderOf(SomeRequest(10));
    for (;;) {
      const int64_t inside = server.server().inflight_requests();
      const double refusals = server.Counter("lossd_rejected_total");
      streams_.push_back(std::make_unique<OpenStream>(server, "greedy"));
      EXPECT_TRUE(streams_.back()->Write(header));
      EXPECT_TRUE(server.WithinAnswers([&] {
        return server.server().inflight_requests() > inside ||
               server.Counter("lossd_rejected_total") > refusals;
      }));
      if (server.server().inflight_requests() == inside) return;
    }
  }
  ~GreedyFlow() {
    for (const auto& stream : streams_) stream->context().TryCancel();
    for (const auto& stream : streams_) stream->Finish();
  }

 private:
  std::vector<std::unique_ptr<OpenStream>> streams_;
};

Config FewRequests(bool trust) {
  Config config;
  config.max_inflight_requests = 64;
  config.max_inline_elements = 0;
  config.trust_flow_header = trust;
  return config;
}

TEST_P(NamedFlows, HaveSharesOfTheirOwn) {
  RunningServer server(FewRequests(/*trust=*/true));
  const GreedyFlow greedy(server);
  const grpc::Status polite = Ask(server, SomeRequest(kBlock), {"polite"});
  EXPECT_TRUE(polite.ok()) << polite.error_message();
  EXPECT_EQ(Ask(server, SomeRequest(kBlock), {"greedy"}).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(UntrustedFlowNames, ShareWhatTheirConnectionMayHold) {
  RunningServer server(FewRequests(/*trust=*/false));
  const GreedyFlow greedy(server);
  PendingCall polite(server, SomeRequest(kBlock), "polite");
  EXPECT_EQ(polite.Wait().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_P(NamedFlows, AreRefusedWithABadName) {
  RunningServer server(FewRequests(/*trust=*/true));
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{""}, {std::string(129, 'w')}, {"a", "b"}}) {
    const grpc::Status status = Ask(server, SomeRequest(kBlock), names);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message().find("metadata lossd-flow: "), 0U)
        << status.error_message();
  }
  // Neither the error nor a name stays with the server's call object.
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {"good"}).ok());
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {}).ok());
}

TEST_P(NamedFlows, AreNotLookedAtUnlessTheyAreTrusted) {
  RunningServer server(FewRequests(/*trust=*/false));
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {std::string(129, 'w')}).ok());
  EXPECT_TRUE(Ask(server, SomeRequest(kBlock), {"a", "b"}).ok());
}

}  // namespace
}  // namespace lossd
