#include "server/door/connections.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/steady_time.h"

namespace lossd::door {
namespace {

// How often EndAll() looks at the connections that are left, and how long it
// waits for gRPC after it has ended the last of them.
constexpr absl::Duration kLookAgain = absl::Milliseconds(1);
constexpr absl::Duration kLetGrpcSee = absl::Milliseconds(100);

// A GOAWAY frame of HTTP/2 (RFC 9113, sections 4.1 and 6.8).
constexpr uint8_t kGoAway[] = {
    0,    0,    8,           // bytes after these nine
    7,                       // the type
    0,                       // flags
    0,    0,    0,    0,     // the stream: the connection
    0x7f, 0xff, 0xff, 0xff,  // last stream: none is refused
    0,    0,    0,    0,     // NO_ERROR
};

// Returns the process at the other end of a Unix socket, or 0 if the kernel
// does not tell: a process of another PID namespace.
pid_t ProcessAt(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  const bool known =
      getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  return known ? peer.pid : 0;
}

// Returns the name that gRPC gives a client of TCP, ServerContext::peer().
std::string TcpPeer(int socket) {
  sockaddr_storage peer = {};
  socklen_t size = sizeof(peer);
  getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size);
  char host[INET6_ADDRSTRLEN] = "";
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
    return absl::StrCat("ipv4:", host, ":", ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
  const int port = ntohs(v6.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], host, sizeof(host));
    return absl::StrCat("ipv4:", host, ":", port);
  }
  inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
  return absl::StrCat("ipv6:%5B", host, "%5D:", port);
}

uint64_t FlowOfProcess(pid_t process, ino_t inode) {
  return process > 0 ? absl::HashOf(absl::string_view("process"), process)
                     : absl::HashOf(absl::string_view("socket"), inode);
}

bool HasUnreceivedOutput(int socket) {
  int bytes = 0;
  return ioctl(socket, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

// Returns whether both directions have been shut down.
bool HasEnded(int socket) {
  pollfd state = {socket, 0, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connections>> Connections::Create(
    bool encrypted) {
  FileDescriptor nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  FileDescriptor probe(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing.open() || !probe.open()) {
    return absl::ErrnoToStatus(errno, "/dev/null");
  }
  return std::unique_ptr<Connections>(
      new Connections(encrypted, std::move(nothing), std::move(probe)));
}

void Connections::Add(int socket, Transport transport) {
  struct stat file;
  if (fstat(socket, &file) != 0) return;
  Connection connection = {file.st_dev, file.st_ino, transport};
  if (transport == Transport::kTcp) {
    connection.flow = absl::HashOf(TcpPeer(socket));
  } else {
    connection.process = ProcessAt(socket);
    connection.flow = FlowOfProcess(connection.process, file.st_ino);
  }
  const auto index = static_cast<size_t>(socket);
  absl::MutexLock lock(&mu_);
  if (index >= by_socket_.size()) by_socket_.resize(index + 1);
  Remove(index);
  by_socket_[index] = connection;
  ++open_[static_cast<size_t>(transport)];
}

void Connections::Remove(size_t socket) {
  Connection& connection = by_socket_[socket];
  if (connection.inode == 0) return;
  --open_[static_cast<size_t>(connection.transport)];
  connection = Connection();
}

std::vector<Connections::Connection> Connections::Snapshot() const {
  absl::ReaderMutexLock lock(&mu_);
  return by_socket_;
}

void Connections::Sweep() {
  // The kernel is asked without the lock, which calls from Unix sockets take.
  const std::vector<Connection> seen = Snapshot();
  for (size_t socket = 0; socket < seen.size(); ++socket) {
    const ino_t inode = seen[socket].inode;
    struct stat file;
    if (inode == 0 ||
        (fstat(static_cast<int>(socket), &file) == 0 && file.st_ino == inode &&
         file.st_dev == seen[socket].device)) {
      continue;
    }
    absl::MutexLock lock(&mu_);
    // The number may have been given to a new connection meanwhile.
    if (by_socket_[socket].inode == inode) Remove(socket);
  }
}

int64_t Connections::Count(Transport transport) {
  Sweep();
  absl::ReaderMutexLock lock(&mu_);
  return open_[static_cast<size_t>(transport)];
}

int64_t Connections::Count() {
  Sweep();
  return CountAtMost();
}

int64_t Connections::CountAtMost() const {
  absl::ReaderMutexLock lock(&mu_);
  return std::accumulate(std::begin(open_), std::end(open_), int64_t{0});
}

Connections::Connection Connections::Find(absl::string_view peer) const {
  // gRPC names a connection that it was given as a descriptor fd:NUMBER.
  size_t socket = 0;
  if (!absl::ConsumePrefix(&peer, "fd:") || !absl::SimpleAtoi(peer, &socket)) {
    return {};
  }
  absl::ReaderMutexLock lock(&mu_);
  return socket < by_socket_.size() ? by_socket_[socket] : Connection();
}

std::optional<uint64_t> Connections::FlowOf(absl::string_view peer) const {
  const Connection connection = Find(peer);
  if (connection.inode == 0) return std::nullopt;
  return connection.flow;
}

std::string Connections::NameOf(absl::string_view peer) const {
  const Connection connection = Find(peer);
  if (connection.inode == 0) return std::string(peer);
  return connection.process > 0 ? absl::StrCat("unix:pid:", connection.process)
                                : "unix:";
}

std::vector<uint64_t> Connections::Flows() const {
  std::vector<uint64_t> flows;
  for (const Connection& connection : Snapshot()) {
    if (connection.inode != 0) flows.push_back(connection.flow);
  }
  std::sort(flows.begin(), flows.end());
  flows.erase(std::unique(flows.begin(), flows.end()), flows.end());
  return flows;
}

void Connections::EndIdle(absl::FunctionRef<bool(uint64_t flow)> is_busy) {
  EndSome(is_busy, /*force=*/false);
}

bool Connections::EndAll(absl::Duration patience) {
  const absl::Time at_once = SteadyNow() + patience;
  const absl::Time give_up = at_once + kLetGrpcSee;
  const auto nobody = [](uint64_t /*flow*/) { return false; };
  while (EndSome(nobody, /*force=*/SteadyNow() >= at_once) > 0) {
    if (SteadyNow() >= give_up) return false;
    absl::SleepFor(kLookAgain);
  }
  return true;
}

int64_t Connections::EndSome(absl::FunctionRef<bool(uint64_t flow)> is_busy,
                             bool force) {
  const std::vector<Connection> seen = Snapshot();
  int64_t left = 0;
  for (size_t socket = 0; socket < seen.size(); ++socket) {
    const Connection& connection = seen[socket];
    if (connection.inode == 0) continue;
    if (is_busy(connection.flow) ||
        !End(static_cast<int>(socket), connection, force)) {
      ++left;
    }
  }
  return left;
}

bool Connections::End(int socket, const Connection& connection, bool force) {
  // gRPC may close the descriptor at any time, and its number may then be
  // another file. The duplicate stays what it is, so it can be compared.
  if (dup3(socket, probe_.number(), O_CLOEXEC) < 0) return errno == EBADF;
  struct stat file;
  bool ended = true;
  if (fstat(probe_.number(), &file) == 0 && file.st_ino == connection.inode &&
      file.st_dev == connection.device) {
    if (force) {
      shutdown(probe_.number(), SHUT_RDWR);
    } else if (!HasUnreceivedOutput(probe_.number())) {
      EndGently(static_cast<size_t>(socket), connection);
    }
    ended = HasEnded(probe_.number());
  }
  dup3(nothing_.number(), probe_.number(), O_CLOEXEC);
  return ended;
}

// gRPC's threads may write at the same time. The frame is never inside the
// answer to an accepted request: gRPC reports that as finished once the kernel
// has its last byte, and until then its permit keeps the connection from
// getting here. Other answers, such as refusals, could be hit only if gRPC were
// between two sendmsg() for one write, which takes more than 1,024 slices or a
// full buffer that has just run empty, or, over Unix, inside one of more than
// 32 KiB, which the kernel divides. The client then sees a broken connection,
// as it does at its end.
void Connections::EndGently(size_t socket, const Connection& connection) {
  if (encrypted_ || connection.told_to_go_away) {
    shutdown(probe_.number(), SHUT_RD);
    return;
  }
  // The frame fits, because the kernel holds no output. Should the kernel
  // refuse it, the connection ends without.
  send(probe_.number(), kGoAway, sizeof(kGoAway), MSG_DONTWAIT | MSG_NOSIGNAL);
  absl::MutexLock lock(&mu_);
  Connection& told = by_socket_[socket];
  if (told.inode == connection.inode) told.told_to_go_away = true;
}

}  // namespace lossd::door
