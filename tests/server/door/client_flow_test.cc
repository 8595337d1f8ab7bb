#include "server/door/client_flow.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/door/entrance.h"
#include "tests/temporary_path.h"

namespace lossd::door {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// Notes the flow of the last call.
class FlowService final : public Health::Service {
 public:
  explicit FlowService(const Connections* connections)
      : connections_(connections) {}
  grpc::Status Check(grpc::ServerContext* context,
                     const HealthCheckRequest* /*request*/,
                     HealthCheckResponse* /*response*/) override {
    flow = FlowOf(*context, *connections_);
    return grpc::Status::OK;
  }
  uint64_t flow = 0;

 private:
  const Connections* const connections_;
};

// Serves without TLS at a free port and at a path.
class ClientFlowTest : public testing::Test {
 protected:
  ClientFlowTest() {
    auto entrance = Entrance::Open(
        {.listen = {.address = "[::]:0", .unix_path = path_.string()}}, {},
        connections_.get());
    EXPECT_TRUE(entrance.ok()) << entrance.status();
    entrance_ = *std::move(entrance);
    grpc::ServerBuilder builder;
    entrance_->AddTo(&builder, grpc::InsecureServerCredentials(),
                     /*encrypted=*/false);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    entrance_->Start(server_.get());
  }

  ~ClientFlowTest() override {
    entrance_->StopAccepting();
    server_->Shutdown();
  }

  // Makes a call over a connection of its own. Returns its flow.
  uint64_t FlowOfACallTo(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channels_.push_back(grpc::CreateCustomChannel(
        target, grpc::InsecureChannelCredentials(), arguments));
    grpc::ClientContext context;
    HealthCheckResponse response;
    const grpc::Status status =
        Health::NewStub(channels_.back())->Check(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return service_.flow;
  }

  int Port() const { return ParseAddress(entrance_->address())->port; }

  const TemporaryPath path_{"client_flow.socket"};
  const std::unique_ptr<Connections> connections_ = *Connections::Create();
  FlowService service_{connections_.get()};
  std::unique_ptr<Entrance> entrance_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

TEST_F(ClientFlowTest, EachConnectionOfTcpIsAFlow) {
  const std::string target = absl::StrCat("127.0.0.1:", Port());
  const uint64_t first = FlowOfACallTo(target);
  const uint64_t second = FlowOfACallTo(target);
  EXPECT_NE(first, second);
  EXPECT_THAT(connections_->Flows(),
              testing::UnorderedElementsAre(first, second));
}

TEST_F(ClientFlowTest, FlowsOfAllAddressesAreKnownBeforeTheirCalls) {
  for (const char* host : {"127.0.0.1", "[::1]"}) {
    const std::vector<uint64_t> before = connections_->Flows();
    const uint64_t flow = FlowOfACallTo(absl::StrCat(host, ":", Port()));
    EXPECT_THAT(connections_->Flows(), testing::Contains(flow)) << host;
    EXPECT_THAT(before, testing::Not(testing::Contains(flow))) << host;
  }
}

TEST_F(ClientFlowTest, EachProcessAtAUnixSocketIsAFlow) {
  const std::string target = absl::StrCat("unix:", path_.string());
  const uint64_t flow = FlowOfACallTo(target);
  EXPECT_EQ(FlowOfACallTo(target), flow);
  EXPECT_EQ(connections_->Count(Transport::kUnix), 2);
  EXPECT_EQ(connections_->Flows(), std::vector<uint64_t>{flow});
}

}  // namespace
}  // namespace lossd::door
