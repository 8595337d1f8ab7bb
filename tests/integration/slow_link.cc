#include "tests/integration/slow_link.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace lossd {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int Listen() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in any = Loopback(0);
  EXPECT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof any),
            0);
  EXPECT_EQ(listen(listener, 1), 0);
  return listener;
}

// The kernel keeps little of what has not passed.
int Connect(int port) {
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  const int small = 64 << 10;
  EXPECT_EQ(setsockopt(connection, SOL_SOCKET, SO_RCVBUF, &small, sizeof small),
            0);
  const sockaddr_in server = Loopback(port);
  EXPECT_EQ(connect(connection, reinterpret_cast<const sockaddr*>(&server),
                    sizeof server),
            0);
  return connection;
}

bool SendAll(int to, const char* bytes, ssize_t count) {
  while (count > 0) {
    const ssize_t sent =
        send(to, bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes += sent;
    count -= sent;
  }
  return true;
}

}  // namespace

SlowLink::SlowLink(int server_port)
    : listener_(Listen()), thread_([this, server_port] { Run(server_port); }) {}

SlowLink::~SlowLink() {
  {
    absl::MutexLock lock(&mu_);
    ended_ = true;
  }
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::string SlowLink::address() const {
  sockaddr_in own = {};
  socklen_t size = sizeof own;
  EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&own), &size),
            0);
  return absl::StrCat("127.0.0.1:", ntohs(own.sin_port));
}

void SlowLink::Let(int64_t bytes) {
  absl::MutexLock lock(&mu_);
  left_ += bytes;
}

bool SlowLink::AwaitPassed() {
  absl::MutexLock lock(&mu_);
  const auto passed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return left_ == 0;
  };
  return mu_.AwaitWithTimeout(absl::Condition(&passed), absl::Seconds(60));
}

void SlowLink::Run(int server_port) {
  client_ = accept(listener_, nullptr, nullptr);
  if (client_ < 0) return;
  server_ = Connect(server_port);
  std::thread up([this] { PassUp(); });
  PassDown();
  // Either end sees the other one go.
  shutdown(client_, SHUT_RDWR);
  shutdown(server_, SHUT_RDWR);
  up.join();
  close(client_);
  close(server_);
}

void SlowLink::PassUp() {
  std::array<char, 65536> bytes;
  for (;;) {
    const ssize_t count = recv(client_, bytes.data(), bytes.size(), 0);
    if (count <= 0 || !SendAll(server_, bytes.data(), count)) break;
  }
  absl::MutexLock lock(&mu_);
  ended_ = true;
  shutdown(server_, SHUT_RDWR);
}

void SlowLink::PassDown() {
  std::array<char, 65536> bytes;
  for (;;) {
    size_t most = 0;
    {
      absl::MutexLock lock(&mu_);
      const auto may_pass = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return left_ > 0 || ended_;
      };
      mu_.Await(absl::Condition(&may_pass));
      if (ended_) return;
      most = static_cast<size_t>(std::min<int64_t>(left_, bytes.size()));
    }
    const ssize_t count = recv(server_, bytes.data(), most, 0);
    if (count <= 0 || !SendAll(client_, bytes.data(), count)) return;
    absl::MutexLock lock(&mu_);
    left_ -= count;
  }
}

}  // namespace lossd
