// Connections share the server; each is a flow of its own.
#include <gtest/gtest.h>

#include <deque>

#include "kernels/sigmoid_loss.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;

// The batch is held open until it is full, so that it is known what waits when
// it is taken: more than it can hold, and the polite request came last.
TEST(Fairness, AnotherConnectionsRequestIsNotTheLastOfALongQueue) {
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
  // The batch was filled up with all but one of the others, which waits on.
  EXPECT_EQ(response.execution().batch_requests(), kGreedy);
  EXPECT_TRUE(server.WaitForTaken(1));
  for (PendingCall& call : greedy) call.Cancel();
}

}  // namespace
}  // namespace lossd
