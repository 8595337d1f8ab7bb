#include "server/door/connections.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

namespace lossd::door {
namespace {

struct Pair {
  explicit Pair(int flags = 0) {
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM | flags, 0, ends);
    server = FileDescriptor(ends[0]);
    client = FileDescriptor(ends[1]);
  }
  FileDescriptor server;
  FileDescriptor client;
};

std::string PeerName(int socket) { return absl::StrCat("fd:", socket); }

// RFC 9113, section 6.8: 8 bytes of type 7 on stream 0; no stream is refused,
// and nothing is wrong.
const std::string kGoAway("\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 17);

// Returns what waits in the socket: nothing at its end, and nullopt if more may
// come.
std::optional<std::string> ReadWhatWaits(const FileDescriptor& socket) {
  char bytes[64];
  const ssize_t size =
      recv(socket.number(), bytes, sizeof(bytes), MSG_DONTWAIT);
  if (size < 0) return std::nullopt;
  return std::string(bytes, static_cast<size_t>(size));
}

// Reads as gRPC does: all there is, and then it closes the socket.
void ReadToTheEnd(FileDescriptor socket) {
  char byte;
  while (read(socket.number(), &byte, 1) > 0) {
  }
}

class ConnectionsTest : public testing::Test {
 protected:
  // Ends every connection as a drain does, one look after the other.
  void EndIdle() {
    connections_->EndIdle([](uint64_t /*flow*/) { return false; });
  }

  std::unique_ptr<Connections> connections_ =
      *Connections::Create(/*encrypted=*/false);
};

TEST_F(ConnectionsTest, CountsByTransportUntilTheDescriptorIsClosed) {
  Pair tcp;
  Pair first;
  Pair second;
  connections_->Add(tcp.server.number(), Transport::kTcp);
  connections_->Add(first.server.number(), Transport::kUnix);
  connections_->Add(second.server.number(), Transport::kUnix);
  EXPECT_EQ(connections_->Count(Transport::kTcp), 1);
  EXPECT_EQ(connections_->Count(Transport::kUnix), 2);
  first.server = FileDescriptor();
  EXPECT_EQ(connections_->CountAtMost(), 3);
  EXPECT_EQ(connections_->Count(), 2);
  EXPECT_EQ(connections_->Count(Transport::kUnix), 1);
}

TEST_F(ConnectionsTest, AClientThatHasGoneStillHoldsADescriptor) {
  Pair pair;
  connections_->Add(pair.server.number(), Transport::kTcp);
  pair.client = FileDescriptor();
  EXPECT_EQ(connections_->Count(), 1);
}

TEST_F(ConnectionsTest, AnotherFileWithTheNumberIsNoConnection) {
  Pair pair;
  const Pair other;
  connections_->Add(pair.server.number(), Transport::kTcp);
  ASSERT_EQ(dup2(other.server.number(), pair.server.number()),
            pair.server.number());
  EXPECT_EQ(connections_->Count(), 0);
}

TEST_F(ConnectionsTest, ANewConnectionWithTheNumberReplacesTheOld) {
  Pair pair;
  const Pair next;
  connections_->Add(pair.server.number(), Transport::kTcp);
  ASSERT_EQ(dup2(next.server.number(), pair.server.number()),
            pair.server.number());
  connections_->Add(pair.server.number(), Transport::kUnix);
  EXPECT_EQ(connections_->CountAtMost(), 1);
  EXPECT_EQ(connections_->Count(Transport::kUnix), 1);
}

TEST_F(ConnectionsTest, ConnectionsOfOneProcessAreOneFlow) {
  const Pair first;
  const Pair second;
  connections_->Add(first.server.number(), Transport::kUnix);
  connections_->Add(second.server.number(), Transport::kUnix);
  const auto flow = connections_->FlowOf(PeerName(first.server.number()));
  ASSERT_TRUE(flow.has_value());
  EXPECT_EQ(connections_->FlowOf(PeerName(second.server.number())), flow);
}

TEST_F(ConnectionsTest, ConnectionsOfOtherProcessesAreOtherFlows) {
  const Pair ours;
  connections_->Add(ours.server.number(), Transport::kUnix);
  // The peer of a pair is the process that made it.
  int ends[2] = {-1, -1};
  int passed[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, passed), 0);
  const pid_t child = fork();
  if (child == 0) {
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    iovec byte{ends, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{.msg_iov = &byte,
                   .msg_iovlen = 1,
                   .msg_control = control,
                   .msg_controllen = sizeof(control)};
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    *reinterpret_cast<int*>(CMSG_DATA(header)) = ends[0];
    _exit(sendmsg(passed[1], &message, 0) == 1 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  char data;
  iovec byte{&data, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{.msg_iov = &byte,
                 .msg_iovlen = 1,
                 .msg_control = control,
                 .msg_controllen = sizeof(control)};
  ASSERT_EQ(recvmsg(passed[0], &message, 0), 1);
  const FileDescriptor theirs(
      *reinterpret_cast<int*>(CMSG_DATA(CMSG_FIRSTHDR(&message))));
  connections_->Add(theirs.number(), Transport::kUnix);
  const auto flow = connections_->FlowOf(PeerName(theirs.number()));
  ASSERT_TRUE(flow.has_value());
  EXPECT_NE(connections_->FlowOf(PeerName(ours.server.number())), flow);
  close(passed[0]);
  close(passed[1]);
}

TEST_F(ConnectionsTest, AClientOfAUnixSocketIsNamedByItsProcess) {
  const Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  EXPECT_EQ(connections_->NameOf(PeerName(pair.server.number())),
            absl::StrCat("unix:pid:", getpid()));
}

TEST_F(ConnectionsTest, OtherPeersHaveNoFlowHere) {
  for (const char* peer : {"", "fd:", "fd:x", "fd:-1", "fd:999999",
                           "unix:", "ipv4:127.0.0.1:50051", "fd:1"}) {
    EXPECT_EQ(connections_->FlowOf(peer), std::nullopt) << peer;
    EXPECT_EQ(connections_->NameOf(peer), peer);
  }
}

TEST_F(ConnectionsTest, EndsConnectionsWhoseClientsHaveEverything) {
  Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  std::thread grpc(&ReadToTheEnd, std::move(pair.server));
  std::thread client(&ReadToTheEnd, std::move(pair.client));
  EXPECT_TRUE(connections_->EndAll(absl::InfiniteDuration()));
  grpc.join();
  client.join();
  EXPECT_EQ(connections_->Count(), 0);
}

TEST_F(ConnectionsTest, TellsAClientToGoAwayOneLookBeforeTheEnd) {
  Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  EndIdle();
  EndIdle();  // The client has not read the frame yet.
  EXPECT_EQ(write(pair.client.number(), "a", 1), 1);
  EXPECT_EQ(ReadWhatWaits(pair.client), kGoAway);
  EXPECT_EQ(ReadWhatWaits(pair.client), std::nullopt);
  EndIdle();
  ReadToTheEnd(std::move(pair.server));
  EXPECT_EQ(ReadWhatWaits(pair.client), "");
}

TEST_F(ConnectionsTest, TellsNothingWhileOutputWaits) {
  const Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  ASSERT_EQ(write(pair.server.number(), "ab", 2), 2);
  EndIdle();
  EXPECT_EQ(ReadWhatWaits(pair.client), "ab");
  EXPECT_EQ(ReadWhatWaits(pair.client), std::nullopt);
}

TEST_F(ConnectionsTest, WritesNothingIntoAnEncryptedConnection) {
  connections_ = *Connections::Create(/*encrypted=*/true);
  Pair pair;
  connections_->Add(pair.server.number(), Transport::kTcp);
  EndIdle();
  EXPECT_EQ(send(pair.client.number(), "a", 1, MSG_NOSIGNAL), -1);
  pair.server = FileDescriptor();
  EXPECT_EQ(ReadWhatWaits(pair.client), "");
}

TEST_F(ConnectionsTest, ANewConnectionWithTheNumberIsTold) {
  Pair first;
  Pair second;
  connections_->Add(first.server.number(), Transport::kUnix);
  EndIdle();
  ASSERT_EQ(dup2(second.server.number(), first.server.number()),
            first.server.number());
  connections_->Add(first.server.number(), Transport::kUnix);
  EndIdle();
  EXPECT_EQ(ReadWhatWaits(second.client), kGoAway);
}

TEST_F(ConnectionsTest, WaitsForAClientThatHasNotReadYet) {
  Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  ASSERT_EQ(write(pair.server.number(), "ab", 2), 2);
  std::thread grpc(&ReadToTheEnd, std::move(pair.server));
  std::thread client([&pair] {
    std::string bytes(64, '\0');
    const ssize_t size =
        recv(pair.client.number(), bytes.data(), bytes.size(), MSG_WAITALL);
    EXPECT_EQ(bytes.substr(0, static_cast<size_t>(size)), "ab" + kGoAway);
  });
  EXPECT_TRUE(connections_->EndAll(absl::InfiniteDuration()));
  grpc.join();
  client.join();
}

TEST_F(ConnectionsTest, EndsAClientThatNeverReads) {
  const Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  ASSERT_EQ(write(pair.server.number(), "ab", 2), 2);
  EXPECT_TRUE(connections_->EndAll(absl::ZeroDuration()));
}

TEST_F(ConnectionsTest, EndsIdleConnectionsAlone) {
  Pair pair;
  connections_->Add(pair.server.number(), Transport::kUnix);
  const std::vector<uint64_t> flows = connections_->Flows();
  ASSERT_EQ(flows.size(), 1);
  connections_->EndIdle([&](uint64_t flow) { return flow == flows[0]; });
  EXPECT_EQ(write(pair.client.number(), "a", 1), 1);
  EXPECT_EQ(ReadWhatWaits(pair.client), std::nullopt);
  const auto others_are_busy = [&](uint64_t flow) { return flow != flows[0]; };
  connections_->EndIdle(others_are_busy);
  EXPECT_EQ(ReadWhatWaits(pair.client), kGoAway);
  connections_->EndIdle(others_are_busy);
  EXPECT_EQ(send(pair.client.number(), "a", 1, MSG_NOSIGNAL), -1);
}

TEST_F(ConnectionsTest, AClosedNumberThatIsAnotherFileIsLeftAlone) {
  Pair pair;
  const Pair other;
  connections_->Add(pair.server.number(), Transport::kUnix);
  ASSERT_EQ(dup2(other.server.number(), pair.server.number()),
            pair.server.number());
  EXPECT_TRUE(connections_->EndAll(absl::ZeroDuration()));
  EXPECT_EQ(write(other.client.number(), "a", 1), 1);
}

}  // namespace
}  // namespace lossd::door
