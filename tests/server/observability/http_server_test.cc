#include "server/observability/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/address.h"
#include "server/base/tcp_socket.h"

namespace lossd::observability {
namespace {

// A server with one page on a free port.
class HttpTest : public testing::Test {
 protected:
  void Start(absl::Duration longest_connection) {
    absl::StatusOr<TcpSockets> listening =
        ListenTcp(*ParseAddress("127.0.0.1:0"));
    ASSERT_TRUE(listening.ok()) << listening.status();
    port_ = listening->port;
    auto started = HttpServer::Start(
        std::move(listening->sockets),
        {{"/", [](const HttpRequest&) { return HttpAnswer{.body = "hello"}; }}},
        longest_connection);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }

  // Connects from an address of loopback. Reads end after five seconds, which
  // is shorter than the time after which silent connections are closed.
  FileDescriptor Connect(const char* from = "127.0.0.1") const {
    FileDescriptor made(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience = {.tv_sec = 5, .tv_usec = 0};
    setsockopt(made.number(), SOL_SOCKET, SO_RCVTIMEO, &patience,
               sizeof patience);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, from, &address.sin_addr);
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    EXPECT_EQ(bind(made.number(), raw, sizeof address), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port_));
    EXPECT_EQ(connect(made.number(), raw, sizeof address), 0);
    return made;
  }

  static void Send(const FileDescriptor& to, const std::string& text) {
    EXPECT_EQ(send(to.number(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  // Returns whether the server closes the connection.
  static bool Closes(const FileDescriptor& connection) {
    char buffer[4096];
    ssize_t got;
    while ((got = recv(connection.number(), buffer, sizeof buffer, 0)) > 0) {
    }
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

  bool Answers(const char* from) const {
    const FileDescriptor client = Connect(from);
    send(client.number(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL);
    char buffer[512];
    const ssize_t got = recv(client.number(), buffer, sizeof buffer, 0);
    return got > 0 && std::string(buffer, static_cast<size_t>(got))
                          .starts_with("HTTP/1.1 200");
  }

  int port_ = 0;
  std::unique_ptr<HttpServer> server_;
};

// A client that sends a byte now and then is never silent.
TEST_F(HttpTest, AConnectionEndsWhateverItSends) {
  Start(absl::ZeroDuration());
  const FileDescriptor slow = Connect();
  Send(slow, "GET / HTTP/1.1\r\nHo");
  EXPECT_TRUE(Closes(slow));
}

TEST_F(HttpTest, OthersAreAnsweredBesideOneAddressThatTakesAllItMay) {
  Start(HttpServer::kLongestConnection);
  std::vector<FileDescriptor> held;
  for (int i = 0; i < 32; ++i) {
    held.push_back(Connect());
    Send(held.back(), "GET / HTTP/1.1\r\n");
  }
  EXPECT_FALSE(Answers("127.0.0.1"));
  EXPECT_TRUE(Answers("127.0.0.2"));
  held.clear();
}

TEST_F(HttpTest, ALongLineAndManyHeadersAreRefused) {
  Start(HttpServer::kLongestConnection);
  const FileDescriptor line = Connect();
  Send(line, "GET /" + std::string(100'000, 'a'));
  EXPECT_TRUE(Closes(line));
  const FileDescriptor headers = Connect();
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 5000; ++i) many += "X-Header: value value value\r\n";
  send(headers.number(), many.data(), many.size(), MSG_NOSIGNAL);
  EXPECT_TRUE(Closes(headers));
  EXPECT_TRUE(Answers("127.0.0.1"));
}

}  // namespace
}  // namespace lossd::observability
