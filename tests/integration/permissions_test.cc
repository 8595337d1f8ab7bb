// A token may do what its line in the token file says, and no more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/loss_stream.h"
#include "tests/integration/raw_stream.h"
#include "tests/integration/running_server.h"
#include "tests/server/shared_memory/raw_client.h"
#include "tests/temporary_path.h"

namespace lossd {
namespace {

using grpc::StatusCode;

class TokenPermissions : public testing::Test {
 protected:
  Config WithTokens() {
    std::ofstream(path_.string()) << "everything\n"
                                     "computes allow=compute\n"
                                     "shares allow=compute,shared_memory\n"
                                     "watches allow=admin\n";
    Config config;
    config.token_file = path_.string();
    config.channelz = true;
    config.shared_memory_socket = shared_memory::TestSocketPath();
    return config;
  }

  static void Authorize(const std::string& token,
                        grpc::ClientContext& context) {
    if (token.empty()) return;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }

  grpc::Status Compute(const std::string& token,
                       const v1::ComputeLossRequest& request) {
    grpc::ClientContext context;
    Authorize(token, context);
    v1::ComputeLossResponse response;
    return server_.stub().ComputeLoss(&context, request, &response);
  }

  StatusCode Stream(const std::string& token) {
    return RunStream(
               server_, Cut(SomeRequest(10), 5),
               [&](grpc::ClientContext& context) { Authorize(token, context); })
        .status.error_code();
  }

  StatusCode Info(const std::string& token) {
    grpc::ClientContext context;
    Authorize(token, context);
    v1::GetServerInfoResponse info;
    return server_.stub().GetServerInfo(&context, {}, &info).error_code();
  }

  struct RawAnswer {
    std::string first;  // the first message, or "end"
    grpc::Status status;
  };

  // Calls a method with one message.
  RawAnswer Raw(const std::string& token, const std::string& method,
                const std::string& message) {
    RawStream stream(server_, method, message, token);
    RawAnswer answer{.first = stream.Read(), .status = {}};
    while (stream.Read() != "end") ADD_FAILURE() << "a second message";
    answer.status = stream.Finish();
    return answer;
  }

  const TemporaryPath path_{"tokens"};
  RunningServer server_{WithTokens()};
};

constexpr char kReflection[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kListServices[] = "\x3a\x01*";
constexpr char kServers[] = "/grpc.channelz.v1.Channelz/GetServers";

TEST_F(TokenPermissions, ComputeIsForThoseWhoMay) {
  for (const char* token : {"everything", "computes", "shares"}) {
    EXPECT_TRUE(Compute(token, SomeRequest(10)).ok()) << token;
    EXPECT_EQ(Stream(token), StatusCode::OK) << token;
    EXPECT_EQ(Info(token), StatusCode::OK) << token;
  }
  EXPECT_EQ(Compute("watches", SomeRequest(10)).error_code(),
            StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Stream("watches"), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Info("watches"), StatusCode::OK);
  for (const char* token : {"", "unknown"}) {
    EXPECT_EQ(Compute(token, SomeRequest(10)).error_code(),
              StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(Stream(token), StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(Info(token), StatusCode::UNAUTHENTICATED);
  }
}

TEST_F(TokenPermissions, SharedMemoryIsForThoseWhoMay) {
  v1::ComputeLossRequest request = SomeRequest(4);
  request.mutable_logits()->mutable_shared_memory()->set_region("none");
  request.mutable_logits()->mutable_shared_memory()->set_byte_size(16);
  for (const char* token : {"everything", "shares"}) {
    EXPECT_EQ(Compute(token, request).error_code(), StatusCode::NOT_FOUND);
  }
  const grpc::Status denied = Compute("computes", request);
  EXPECT_EQ(denied.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(denied.error_message(),
            "logits.shared_memory: the client's token may not use "
            "shared_memory");
  // The next call of the same object on the server asks anew.
  EXPECT_TRUE(Compute("computes", SomeRequest(4)).ok());
}

TEST_F(TokenPermissions, AResultInSharedMemoryNeedsThePermissionToo) {
  v1::ComputeLossRequest request = SomeRequest(4);
  request.mutable_gradient_destination()->set_region("none");
  request.mutable_gradient_destination()->set_byte_size(16);
  EXPECT_EQ(Compute("computes", request).error_code(),
            StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Compute("shares", request).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(TokenPermissions, ReflectionIsForThoseWhoMayUseAdmin) {
  for (const char* token : {"everything", "watches"}) {
    const RawAnswer answer = Raw(token, kReflection, kListServices);
    EXPECT_THAT(answer.first, testing::HasSubstr("lossd.v1.LossService"));
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  }
  const RawAnswer denied = Raw("computes", kReflection, kListServices);
  EXPECT_EQ(denied.first, "end");
  EXPECT_EQ(denied.status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(denied.status.error_message(),
            "authorization: the token may not use admin");
  for (const char* token : {"", "unknown"}) {
    const RawAnswer unknown = Raw(token, kReflection, kListServices);
    EXPECT_EQ(unknown.first, "end");
    EXPECT_EQ(unknown.status.error_code(), StatusCode::UNAUTHENTICATED);
  }
}

TEST_F(TokenPermissions, ChannelzIsForThoseWhoMayUseAdmin) {
  EXPECT_TRUE(Raw("watches", kServers, "").status.ok());
  const RawAnswer denied = Raw("computes", kServers, "");
  EXPECT_EQ(denied.first, "end");
  EXPECT_EQ(denied.status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Raw("", kServers, "").status.error_code(),
            StatusCode::UNAUTHENTICATED);
}

TEST_F(TokenPermissions, HealthNeedsNone) {
  RawStream check(server_, "/grpc.health.v1.Health/Check", "");
  EXPECT_EQ(check.Read(), kServing);
}

}  // namespace
}  // namespace lossd
