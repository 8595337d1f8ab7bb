#include "server/shared_memory/region_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <random>

#include "tests/server/shared_memory/raw_client.h"

namespace lossd::shared_memory {
namespace {

using testing::HasSubstr;

const auto kPage = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));

int32_t Number(absl::StatusCode code) { return static_cast<int32_t>(code); }

class Socket : public testing::Test {
 protected:
  void SetUp() override { Start(256); }

  void Start(size_t max_connections) {
    server_.reset();
    auto server = RegionSocket::Start(
        {.path = path_, .max_connections = max_connections}, &table_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Blocks until the server has dealt with all packets and closed connections
  // from before: peers are served in the order in which they came.
  void AwaitServer() {
    RawClient last(path_);
    EXPECT_TRUE(last.Release("x").has_value());
  }

  const std::string path_ = TestSocketPath();
  RegionTable table_{
      {.max_bytes = static_cast<int64_t>(64 * kPage),
       .max_bytes_per_connection = static_cast<int64_t>(16 * kPage)}};
  std::unique_ptr<RegionSocket> server_;
};

TEST_F(Socket, GivesMemoryThatTheServerSees) {
  RawClient client(path_);
  const auto answer = client.Register(3 * kPage - 5);
  ASSERT_TRUE(answer.has_value());
  ASSERT_TRUE(answer->file.open());
  const v1::Region& region = answer->reply.region();
  EXPECT_EQ(region.byte_size(), 3 * kPage);
  const Mapping mapping(answer->file, region.byte_size());
  mapping.bytes()[5] = std::byte{9};
  const auto found = table_.Find(region.name());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->bytes()[5], std::byte{9});
}

TEST_F(Socket, AClosedConnectionFreesItsRegions) {
  RawClient client(path_);
  const auto answer = client.Register(kPage);
  ASSERT_TRUE(answer.has_value());
  ASSERT_TRUE(client.Register(kPage).has_value());
  EXPECT_EQ(table_.bytes(), static_cast<int64_t>(2 * kPage));
  client.Close();
  AwaitServer();
  EXPECT_EQ(table_.bytes(), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      table_.Find(answer->reply.region().name()).status()));
}

TEST_F(Socket, AReleasedRegionIsGone) {
  RawClient client(path_);
  const auto answer = client.Register(kPage);
  ASSERT_TRUE(answer.has_value());
  const std::string name = answer->reply.region().name();
  EXPECT_TRUE(client.Release(name)->reply.has_released());
  EXPECT_EQ(table_.bytes(), 0);
  EXPECT_EQ(client.Release(name)->reply.error().code(),
            Number(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(client.Release("nosuch")->reply.error().code(),
            Number(absl::StatusCode::kNotFound));
}

TEST_F(Socket, TwoClientsDoNotSeeEachOther) {
  RawClient one(path_), two(path_);
  const auto ones = one.Register(kPage);
  const auto twos = two.Register(kPage);
  ASSERT_TRUE(ones.has_value() && twos.has_value());
  const Mapping mine(ones->file, kPage), other(twos->file, kPage);
  std::fill(mine.bytes().begin(), mine.bytes().end(), std::byte{0xFF});
  for (const std::byte byte : other.bytes()) ASSERT_EQ(byte, std::byte{0});
  EXPECT_EQ(two.Release(ones->reply.region().name())->reply.error().code(),
            Number(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(table_.Find(ones->reply.region().name()).ok());
}

TEST_F(Socket, TenThousandBadRegistrationsLeaveNoDescriptor) {
  auto client = std::make_unique<RawClient>(path_);
  ASSERT_TRUE(client->Register(kPage).has_value());
  // With the second answer the server has closed the region's file.
  ASSERT_TRUE(client->Register(0).has_value());
  const int before = OpenDescriptors();
  v1::SharedMemoryRequest empty, large;
  empty.mutable_register_region();
  large.mutable_register_region()->set_byte_size(17 * kPage);
  std::mt19937 random(11);
  const int file = STDERR_FILENO;  // any descriptor will do
  for (int i = 0; i < 10000; ++i) {
    switch (i % 4) {
      case 0:
        ASSERT_TRUE(client->Send(empty.SerializeAsString(), file));
        EXPECT_EQ(client->Receive()->reply.error().code(),
                  Number(absl::StatusCode::kInvalidArgument));
        break;
      case 1:
        ASSERT_TRUE(client->Send(large.SerializeAsString(), file));
        EXPECT_EQ(client->Receive()->reply.error().code(),
                  Number(absl::StatusCode::kResourceExhausted));
        break;
      case 2:  // a request that this server does not know
        ASSERT_TRUE(client->Send(std::string("\x7a\x00", 2), file));
        EXPECT_TRUE(client->Receive()->reply.has_error());
        break;
      case 3: {
        std::string garbage(random() % 64 + 1, '\xff');
        ASSERT_TRUE(client->Send(garbage, file));
        EXPECT_TRUE(client->Receive()->reply.has_error());
        EXPECT_FALSE(client->Receive().has_value());  // disconnected
        client->Close();
        client = std::make_unique<RawClient>(path_);
        ASSERT_TRUE(client->connected());
        break;
      }
    }
  }
  // The last client is served like the first.
  ASSERT_TRUE(client->Register(0).has_value());
  EXPECT_EQ(table_.bytes(), 0);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(Socket, ADescriptorThatAClientSendsIsClosed) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  RawClient client(path_);
  v1::SharedMemoryRequest request;
  request.mutable_register_region()->set_byte_size(1);
  ASSERT_TRUE(client.Send(request.SerializeAsString(), write_end.number()));
  ASSERT_TRUE(client.Receive()->reply.has_region());
  write_end = FileDescriptor();
  char byte;
  EXPECT_EQ(read(read_end.number(), &byte, 1), 0);  // the end of the file
}

TEST_F(Socket, APacketThatIsTooLongEndsTheConnection) {
  RawClient client(path_);
  ASSERT_TRUE(client.Send(std::string(5000, '\0')));
  EXPECT_THAT(client.Receive()->reply.error().message(), HasSubstr("4096"));
  EXPECT_FALSE(client.Receive().has_value());
  AwaitServer();
}

TEST_F(Socket, AClientThatDoesNotReadIsDisconnectedAndOthersAreServed) {
  RawClient deaf(path_);
  v1::SharedMemoryRequest request;
  request.mutable_release_region()->set_name(std::string(60, 'x'));
  const std::string packet = request.SerializeAsString();
  int sent = 0;
  while (sent < 100000 && deaf.Send(packet))
    ++sent;  // the call blocks when both buffers are full
  EXPECT_LT(sent, 100000);
  AwaitServer();
}

TEST_F(Socket, MoreConnectionsThanAllowedAreTurnedAway) {
  Start(1);
  RawClient first(path_);
  ASSERT_TRUE(first.Register(kPage).has_value());
  RawClient second(path_);
  EXPECT_EQ(second.Receive()->reply.error().code(),
            Number(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(second.Receive().has_value());
  EXPECT_TRUE(first.Register(kPage)->reply.has_region());
}

TEST_F(Socket, ItsEndEndsConnectionsAndRegions) {
  RawClient client(path_);
  ASSERT_TRUE(client.Register(kPage).has_value());
  server_.reset();
  EXPECT_EQ(table_.bytes(), 0);
  EXPECT_FALSE(client.Receive().has_value());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(Socket, OnlyItsUserMayConnect) {
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(Socket, APathSomebodyListensOnIsUnavailable) {
  RegionTable table{{}};
  const auto second = RegionSocket::Start({.path = path_}, &table);
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(path_));
  AwaitServer();  // the server is still there
}

TEST_F(Socket, WhatADeadServerLeftIsReplaced) {
  server_.reset();
  {
    // This socket is bound and closed without being removed.
    const FileDescriptor dead(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(bind(dead.number(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof(address)),
              0);
  }
  Start(1);
  AwaitServer();
}

TEST_F(Socket, AnotherFileAtThePathIsLeftAlone) {
  server_.reset();
  const FileDescriptor file(
      open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.open());
  const auto refused = RegionSocket::Start({.path = path_}, &table_);
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_EQ(unlink(path_.c_str()), 0);
}

TEST_F(Socket, AtItsEndItRemovesOnlyItsOwnPath) {
  ASSERT_EQ(unlink(path_.c_str()), 0);
  {
    const FileDescriptor file(
        open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  }
  server_.reset();
  EXPECT_EQ(unlink(path_.c_str()), 0);
}

TEST_F(Socket, APathThatIsTooLongIsInvalid) {
  const auto refused =
      RegionSocket::Start({.path = std::string(108, 'x')}, &table_);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
  EXPECT_TRUE(absl::IsInvalidArgument(
      RegionSocket::Start({.path = ""}, &table_).status()));
}

}  // namespace
}  // namespace lossd::shared_memory
