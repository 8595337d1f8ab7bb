// An HTTP/2 server that stops reading in the middle of a message.
#ifndef LOSSD_TESTS_CLIENT_CPP_STALLED_PEER_H_
#define LOSSD_TESTS_CLIENT_CPP_STALLED_PEER_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"

namespace lossd::client {

// A peer that greets as an HTTP/2 server with the widest flow-control windows,
// takes the first bytes of a message, and then reads no more. The sender's
// transport is left with a message that it can neither send nor drop.
class StalledPeer {
 public:
  StalledPeer() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, generic, size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }

  ~StalledPeer() {
    HangUp();
    thread_.join();
  }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }

  // Waits until a message is being written.
  void AwaitMessage() { message_.WaitForNotification(); }

  // Reads on to the end of the message, and returns its last bytes. Call
  // AwaitMessage() before.
  std::string ReadToEnd();

  // Expects no message, and waits in the destructor until the sender closes the
  // connection.
  void Abandon() {
    abandoned_ = true;
    HangUp();
  }

  // Closes the connection, and with it ends the sender's writing.
  void HangUp() {
    if (!hang_up_.HasBeenNotified()) hang_up_.Notify();
  }

 private:
  void Serve() {
    connection_ = accept(listener_, nullptr, nullptr);
    close(listener_);
    // SETTINGS with INITIAL_WINDOW_SIZE 2^31 - 1, and a WINDOW_UPDATE of the
    // connection up to the same.
    constexpr unsigned char kGreeting[] = {
        0, 0, 6, 4, 0, 0, 0, 0, 0, 0,    4,    0x7f, 0xff, 0xff, 0xff,  //
        0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0,    0};
    EXPECT_EQ(write(connection_, kGreeting, sizeof(kGreeting)),
              ssize_t{sizeof(kGreeting)});
    // This is more than preface, settings and headers take.
    begin_ = Receive(1 << 16);
    message_.Notify();
    hang_up_.WaitForNotification();
    close(connection_);
  }

  std::string Receive(size_t size) {
    std::string bytes(size, '\0');
    const ssize_t got = recv(connection_, bytes.data(), size, MSG_WAITALL);
    EXPECT_TRUE(abandoned_ || got == static_cast<ssize_t>(size)) << got;
    return bytes;
  }

  // Returns the next `size` bytes after the preface.
  std::string Next(size_t size) {
    std::string bytes = begin_.substr(0, size);
    begin_.erase(0, bytes.size());
    return bytes + Receive(size - bytes.size());
  }

  const int listener_;
  int connection_ = -1;
  // Bytes that were received and not yet read as frames.
  std::string begin_;
  int port_ = 0;
  std::atomic<bool> abandoned_ = false;
  absl::Notification message_;
  absl::Notification hang_up_;
  // The thread is last because it uses the other members.
  std::thread thread_;
};

inline std::string StalledPeer::ReadToEnd() {
  constexpr size_t kPreface = 24;
  constexpr char kData = 0;
  constexpr char kEndStream = 1;
  std::string last;
  Next(kPreface);
  for (bool end = false; !end && !testing::Test::HasFailure();) {
    const std::string header = Next(9);
    size_t length = 0;
    for (int i = 0; i < 3; ++i) {
      length = length << 8 | static_cast<unsigned char>(header[i]);
    }
    const std::string payload = Next(length);
    if (header[3] != kData) continue;
    if (length > 0) last = payload;
    end = (header[4] & kEndStream) != 0;
  }
  return last;
}

}  // namespace lossd::client

#endif  // LOSSD_TESTS_CLIENT_CPP_STALLED_PEER_H_
