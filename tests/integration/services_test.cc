// Health, reflection, server information, tokens and addresses work on a whole
// server.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/raw_stream.h"
#include "tests/integration/running_server.h"
#include "tests/temporary_path.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

TEST(Health, ChecksTheServerAndTheService) {
  RunningServer server;
  for (const char* service : {"", "lossd.v1.LossService"}) {
    RawStream check(server, "/grpc.health.v1.Health/Check",
                    HealthRequest(service));
    EXPECT_EQ(check.Read(), kServing) << service;
  }
  RawStream unknown(server, "/grpc.health.v1.Health/Check",
                    HealthRequest("other"));
  EXPECT_EQ(unknown.Read(), "end");
}

TEST(Health, WatchersSeeTheDrain) {
  Config config = OneRpcThread();
  config.max_queue_delay = absl::Seconds(1);
  RunningServer server(config);
  RawStream watch(server, "/grpc.health.v1.Health/Watch",
                  HealthRequest("lossd.v1.LossService"));
  EXPECT_EQ(watch.Read(), kServing);
  PendingCall accepted(server, SomeRequest(10));
  ASSERT_TRUE(server.WaitForTaken(1));
  std::thread drain([&] { server.server().Shutdown(absl::Seconds(20)); });
  EXPECT_EQ(watch.Read(), kNotServing);
  drain.join();
}

TEST(Reflection, ListsTheService) {
  RunningServer server;
  // The message is ServerReflectionRequest{list_services: "*"}.
  RawStream reflection(
      server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      "\x3a\x01*");
  const std::string services = reflection.Read();
  EXPECT_THAT(services, HasSubstr("lossd.v1.LossService"));
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
}

// An open reflection stream holds one of gRPC's threads, whose number is
// limited.
TEST(Reflection, IdleStreamsCannotTakeMoreThreadsThanTheLimit) {
  constexpr int kStreams = 600;
  struct Held {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
    grpc::Status status;
  };
  RunningServer server;
  grpc::GenericStub stub(server.channel());
  grpc::CompletionQueue queue;
  std::vector<Held> streams(kStreams);
  for (Held& held : streams) {
    held.context.set_deadline(std::chrono::system_clock::now() +
                              std::chrono::seconds(60));
    held.call = stub.PrepareCall(
        &held.context,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        &queue);
    held.call->StartCall(nullptr);
    held.call->Finish(&held.status, &held);
  }
  const auto next_ended = [&queue]() -> Held* {
    void* tag = nullptr;
    bool ok = false;
    while (tag == nullptr) EXPECT_TRUE(queue.Next(&tag, &ok));
    return static_cast<Held*>(tag);
  };
  // The first stream to end is one that was refused, because the admitted ones
  // stay open.
  EXPECT_EQ(next_ended()->status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server.Call(SomeRequest(10), &response).ok());
  for (Held& held : streams) held.context.TryCancel();
  for (int i = 1; i < kStreams; ++i) next_ended();
}

TEST(GetServerInfo, TellsLimitsAndSupportedLosses) {
  Config config;
  config.max_inflight_requests = 77;
  RunningServer server(config);
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(server.stub().GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.max_inflight_requests(), 77);
  EXPECT_THAT(info.backends(), testing::ElementsAre(server.server().backend()));
  EXPECT_THAT(info.loss_kinds(),
              testing::ElementsAre(v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY,
                                   v1::LOSS_KIND_SIGMOID_FOCAL,
                                   v1::LOSS_KIND_ASYMMETRIC, v1::LOSS_KIND_POLY,
                                   v1::LOSS_KIND_QUALITY_FOCAL,
                                   v1::LOSS_KIND_VARIFOCAL));
  EXPECT_EQ(info.logits_dtypes_size(), 6);
  EXPECT_EQ(info.targets_dtypes_size(), 13);
  EXPECT_TRUE(info.supports_streaming());
}

TEST(Tokens, AreRequiredOfEveryCallButHealthChecks) {
  const TemporaryPath path("tokens");
  std::ofstream(path.string()) << "secret\n";
  Config config;
  config.token_file = path.string();
  RunningServer server(config);
  v1::ComputeLossResponse response;
  EXPECT_EQ(server.Call(SomeRequest(10), &response).error_code(),
            StatusCode::UNAUTHENTICATED);
  grpc::ClientContext wrong;
  wrong.AddMetadata("authorization", "Bearer secre");
  v1::GetServerInfoResponse info;
  EXPECT_EQ(server.stub().GetServerInfo(&wrong, {}, &info).error_code(),
            StatusCode::UNAUTHENTICATED);
  grpc::ClientContext right;
  right.AddMetadata("authorization", "Bearer secret");
  EXPECT_TRUE(
      server.stub().ComputeLoss(&right, SomeRequest(10), &response).ok());
  RawStream check(server, "/grpc.health.v1.Health/Check", "");
  EXPECT_EQ(check.Read(), kServing);  // probes need no token
}

TEST(Addresses, APortInUseIsNamed) {
  RunningServer server;
  Config config;
  config.metrics_listen = "127.0.0.1:0";
  config.listen = server.server().address();
  const auto second = Server::Create(config);
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(config.listen));
}

TEST(Addresses, AUnixSocketServesTheSameAnswers) {
  const TemporaryPath path("socket");
  Config config;
  config.unix_socket = path.string();
  RunningServer server(config);
  const auto stub = v1::LossService::NewStub(
      grpc::CreateChannel(absl::StrCat("unix:", config.unix_socket),
                          grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ComputeLossResponse response;
  EXPECT_TRUE(stub->ComputeLoss(&context, SomeRequest(10), &response).ok());
}

}  // namespace
}  // namespace lossd
