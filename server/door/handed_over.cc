#include "server/door/handed_over.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/door/tcp_socket.h"

namespace lossd::door {
namespace {

constexpr int kFirst = 3;  // the number of the first of them, by the protocol
constexpr int kMost = 64;

// Returns a variable's value, or an empty text if it is not set.
std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int OptionOf(int socket, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  return getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? value
                                                                    : -1;
}

bool IsListeningStream(int socket) {
  const int domain = OptionOf(socket, SO_DOMAIN);
  return (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX) &&
         OptionOf(socket, SO_TYPE) == SOCK_STREAM &&
         OptionOf(socket, SO_ACCEPTCONN) == 1;
}

void Prepare(int socket) {
  fcntl(socket, F_SETFD, FD_CLOEXEC);
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
  if (OptionOf(socket, SO_DOMAIN) != AF_UNIX) SetNoDelay(socket);
}

absl::Status NotUsable(int socket, const std::vector<std::string>& names) {
  const auto index = static_cast<size_t>(socket - kFirst);
  const std::string name =
      index < names.size() ? absl::StrCat(" (", names[index], ")") : "";
  return absl::InvalidArgumentError(absl::StrCat(
      "LISTEN_FDS: descriptor ", socket, name,
      " must be a socket of TCP or a Unix stream socket that listens"));
}

}  // namespace

absl::StatusOr<std::vector<FileDescriptor>> TakeHandedOverSockets() {
  const std::string process = Variable("LISTEN_PID");
  const std::string count = Variable("LISTEN_FDS");
  const std::vector<std::string> names =
      absl::StrSplit(Variable("LISTEN_FDNAMES"), ':', absl::SkipEmpty());
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    unsetenv(name);
  }
  std::vector<FileDescriptor> sockets;
  int64_t owner = 0;
  if (!absl::SimpleAtoi(process, &owner) || owner != getpid()) return sockets;
  int sent = 0;
  if (!absl::SimpleAtoi(count, &sent) || sent < 0 || sent > kMost) {
    return absl::InvalidArgumentError(absl::StrCat(
        "LISTEN_FDS=", count, ": must be a number in [0, ", kMost, "]"));
  }
  for (int socket = kFirst; socket < kFirst + sent; ++socket) {
    if (!IsListeningStream(socket)) return NotUsable(socket, names);
    Prepare(socket);
    sockets.emplace_back(socket);
  }
  return sockets;
}

}  // namespace lossd::door
