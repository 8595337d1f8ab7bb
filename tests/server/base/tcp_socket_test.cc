#include "server/base/tcp_socket.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"

namespace lossd {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

absl::StatusOr<TcpSockets> Listen(const std::string& text) {
  return ListenTcp(*ParseAddress(text));
}

TEST(TcpSocketTest, PortZeroIsAnyFreePort) {
  const auto listening = Listen("127.0.0.1:0");
  ASSERT_TRUE(listening.ok()) << listening.status();
  EXPECT_GT(listening->port, 0);
  ASSERT_EQ(listening->sockets.size(), 1);
  EXPECT_EQ(BoundAddress(listening->sockets[0].number()),
            absl::StrCat("127.0.0.1:", listening->port));
  EXPECT_TRUE(IsTcp(listening->sockets[0].number()));
}

TEST(TcpSocketTest, AllAddressesOfAHostGetOnePort) {
  const auto listening = Listen("localhost:0");
  ASSERT_TRUE(listening.ok()) << listening.status();
  for (const FileDescriptor& socket : listening->sockets) {
    EXPECT_THAT(BoundAddress(socket.number()),
                EndsWith(absl::StrCat(":", listening->port)));
  }
}

TEST(TcpSocketTest, AnIpv6AddressStandsInBrackets) {
  const auto listening = Listen("[::1]:0");
  ASSERT_TRUE(listening.ok()) << listening.status();
  EXPECT_EQ(BoundAddress(listening->sockets[0].number()),
            absl::StrCat("[::1]:", listening->port));
}

TEST(TcpSocketTest, AWildcardIsOneSocketForBothFamilies) {
  for (const char* any : {"0.0.0.0:0", "[::]:0"}) {
    const auto listening = Listen(any);
    ASSERT_TRUE(listening.ok()) << listening.status();
    ASSERT_EQ(listening->sockets.size(), 1);
    EXPECT_THAT(BoundAddress(listening->sockets[0].number()),
                StartsWith("[::]:"));
  }
}

TEST(TcpSocketTest, LoopbackIsTheAddressesOfThisMachineAlone) {
  for (const char* own :
       {"127.0.0.1:0", "127.8.9.10:0", "[::1]:0", "localhost:0"}) {
    const auto listening = Listen(own);
    ASSERT_TRUE(listening.ok()) << listening.status();
    EXPECT_TRUE(IsLoopback(listening->sockets[0].number())) << own;
  }
  for (const char* any : {"0.0.0.0:0", "[::]:0"}) {
    const auto listening = Listen(any);
    ASSERT_TRUE(listening.ok()) << listening.status();
    EXPECT_FALSE(IsLoopback(listening->sockets[0].number())) << any;
  }
}

// systemd may hand over a socket that is bound so.
TEST(TcpSocketTest, AMappedLoopbackIsLoopback) {
  const FileDescriptor mapped(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr);
  ASSERT_EQ(bind(mapped.number(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)),
            0);
  EXPECT_TRUE(IsLoopback(mapped.number()));
}

TEST(TcpSocketTest, TwoServersDoNotShareAPort) {
  const auto first = Listen("127.0.0.1:0");
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = absl::StrCat("127.0.0.1:", first->port);
  EXPECT_EQ(Listen(address).status(),
            absl::UnavailableError(absl::StrCat("cannot listen on ", address,
                                                ": Address already in use")));
}

TEST(TcpSocketTest, AHostThatIsNotThereIsNamed) {
  const absl::Status status = Listen("nowhere.invalid:0").status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("cannot listen on nowhere.invalid:0: "));
}

TEST(TcpSocketTest, AcceptedSocketsSendSmallMessagesAtOnce) {
  const auto listening = Listen("127.0.0.1:0");
  ASSERT_TRUE(listening.ok()) << listening.status();
  const int listener = listening->sockets[0].number();
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const FileDescriptor client(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(
      connect(client.number(), reinterpret_cast<sockaddr*>(&address), size), 0);
  const FileDescriptor accepted(accept(listener, nullptr, nullptr));
  int no_delay = 0;
  size = sizeof(no_delay);
  getsockopt(accepted.number(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
  EXPECT_NE(no_delay, 0);
}

}  // namespace
}  // namespace lossd
