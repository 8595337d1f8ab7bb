// Connections share the server; each is a flow of its own.
#include <gtest/gtest.h>

#include <deque>

#include "kernels/sigmoid_loss.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;

// A connection beside the server's own channel.
std::shared_ptr<grpc::Channel> AnotherConnection(RunningServer& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      server.server().address(), grpc::InsecureChannelCredentials(), arguments);
}

// The batch is held open until it is full, so that it is known what waits when
// it is taken: more than it can hold, and the polite request came last.
TEST(Fairness, AnotherConnectionsRequestIsNotTheLastOfALongQueue) {
  Config config;
  config.cpu_threads = 1;
  config.max_queue_delay = absl::Seconds(10);
  config.max_batch_elements = 100 * kBlock;
  RunningServer server(config);
  constexpr int kGreedy = 24;
  std::deque<PendingCall> greedy;
  for (int i = 0; i < kGreedy; ++i) {
    greedy.emplace_back(server, SomeRequest(4 * kBlock));
  }
  ASSERT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == kGreedy; }));

  const auto stub = v1::LossService::NewStub(AnotherConnection(server));
  grpc::ClientContext context;
  v1::ComputeLossResponse response;
  const grpc::Status status =
      stub->ComputeLoss(&context, SomeRequest(5 * kBlock), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  // The batch was filled up with all but one of the others, which waits on.
  EXPECT_EQ(response.execution().batch_requests(), kGreedy);
  EXPECT_TRUE(RunningServer::Eventually(
      [&] { return server.server().inflight_requests() == 1; }));
  for (PendingCall& call : greedy) call.Cancel();
}

}  // namespace
}  // namespace lossd
