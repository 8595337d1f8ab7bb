#include "server/door/client_flow.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
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

// Serves at a free port and at a path.
class ClientFlowTest : public testing::Test {
 protected:
  ~ClientFlowTest() override {
    entrance_->StopAccepting();
    server_->Shutdown();
  }

  void Serve(const std::shared_ptr<grpc::ServerCredentials>& credentials,
             bool encrypted) {
    auto entrance = Entrance::Open(
        {.listen = {.address = "[::]:0", .unix_path = path_.string()}}, {},
        connections_.get());
    ASSERT_TRUE(entrance.ok()) << entrance.status();
    entrance_ = *std::move(entrance);
    grpc::ServerBuilder builder;
    entrance_->AddTo(&builder, credentials, encrypted);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    entrance_->Start(server_.get());
  }
  void ServeWithoutTls() {
    Serve(grpc::InsecureServerCredentials(), /*encrypted=*/false);
  }

  // Opens a connection of its own.
  static std::unique_ptr<Health::Stub> Connect(
      const std::string& target,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials =
          grpc::InsecureChannelCredentials()) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return Health::NewStub(
        grpc::CreateCustomChannel(target, credentials, arguments));
  }

  // Makes a call. Returns its flow.
  uint64_t FlowOfACall(Health::Stub& stub) {
    grpc::ClientContext context;
    HealthCheckResponse response;
    const grpc::Status status = stub.Check(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return service_.flow;
  }

  std::string TcpTarget(absl::string_view host) const {
    return absl::StrCat(host, ":", ParseAddress(entrance_->address())->port);
  }
  std::string UnixTarget() const {
    return absl::StrCat("unix:", path_.string());
  }

  const TemporaryPath path_{"client_flow.socket"};
  const std::unique_ptr<Connections> connections_ =
      *Connections::Create(/*encrypted=*/false);
  FlowService service_{connections_.get()};
  std::unique_ptr<Entrance> entrance_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ClientFlowTest, EachConnectionOfTcpIsAFlow) {
  ServeWithoutTls();
  const auto first = Connect(TcpTarget("127.0.0.1"));
  const auto second = Connect(TcpTarget("127.0.0.1"));
  EXPECT_NE(FlowOfACall(*first), FlowOfACall(*second));
  EXPECT_EQ(FlowOfACall(*first), FlowOfACall(*first));
}

TEST_F(ClientFlowTest, TheTableKnowsTheFlowsOfTcp) {
  ServeWithoutTls();
  const auto v4 = Connect(TcpTarget("127.0.0.1"));
  const auto v6 = Connect(TcpTarget("[::1]"));
  const uint64_t first = FlowOfACall(*v4);
  const uint64_t second = FlowOfACall(*v6);
  EXPECT_THAT(connections_->Flows(),
              testing::UnorderedElementsAre(first, second));
}

TEST_F(ClientFlowTest, EachProcessAtAUnixSocketIsAFlow) {
  ServeWithoutTls();
  const auto first = Connect(UnixTarget());
  const auto second = Connect(UnixTarget());
  const uint64_t flow = FlowOfACall(*first);
  EXPECT_EQ(FlowOfACall(*second), flow);
  EXPECT_EQ(connections_->Count(Transport::kUnix), 2);
  EXPECT_EQ(connections_->Flows(), std::vector<uint64_t>{flow});
}

// These credentials take the way of TLS, but need no certificate.
TEST_F(ClientFlowTest, EachConnectionOfTlsAtAUnixSocketIsAFlow) {
  Serve(grpc::experimental::LocalServerCredentials(UDS), /*encrypted=*/true);
  const auto local = grpc::experimental::LocalCredentials(UDS);
  const auto first = Connect(UnixTarget(), local);
  const auto second = Connect(UnixTarget(), local);
  const uint64_t flow = FlowOfACall(*first);
  EXPECT_NE(FlowOfACall(*second), flow);
  EXPECT_EQ(FlowOfACall(*first), flow);
}

}  // namespace
}  // namespace lossd::door
