#include "server/base/tcp_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/listen_error.h"

namespace lossd {
namespace {

// An address of IPv4 or IPv6.
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(sockaddr_storage);

  const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr_in& v4() const {
    return reinterpret_cast<const sockaddr_in&>(storage);
  }
  const sockaddr_in6& v6() const {
    return reinterpret_cast<const sockaddr_in6&>(storage);
  }
  bool is_v6() const { return storage.ss_family == AF_INET6; }
  int port() const { return ntohs(is_v6() ? v6().sin6_port : v4().sin_port); }
  void set_port(int port) {
    // Both families have the port at the same place.
    reinterpret_cast<sockaddr_in&>(storage).sin_port =
        htons(static_cast<uint16_t>(port));
  }
  bool is_wildcard() const {
    return is_v6() ? IN6_IS_ADDR_UNSPECIFIED(&v6().sin6_addr) != 0
                   : v4().sin_addr.s_addr == htonl(INADDR_ANY);
  }
};

bool IsLoopbackV4(in_addr_t address) {
  return ntohl(address) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

SocketAddress Wildcard(int family) {
  SocketAddress address;
  address.storage.ss_family = static_cast<sa_family_t>(family);
  address.size =
      family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return address;  // all zeros, which is "any" in both families
}

SocketAddress NameOf(int socket) {
  SocketAddress name;
  getsockname(socket, name.get(), &name.size);
  return name;
}

void SetOption(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof(value));
}

// Returns a listening socket, or an errno.
struct Opened {
  FileDescriptor socket;
  int error = 0;
};

Opened ListenAt(const SocketAddress& address) {
  FileDescriptor made(socket(address.storage.ss_family,
                             SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.open()) return {FileDescriptor(), errno};
  // A restarted server does not wait for connections of its predecessor. This
  // does not let two servers listen.
  SetOption(made.number(), SOL_SOCKET, SO_REUSEADDR, 1);
  SetNoDelay(made.number());
  if (address.is_v6()) {
    SetOption(made.number(), IPPROTO_IPV6, IPV6_V6ONLY,
              address.is_wildcard() ? 0 : 1);
  }
  if (bind(made.number(), address.get(), address.size) != 0 ||
      listen(made.number(), SOMAXCONN) != 0) {
    return {FileDescriptor(), errno};
  }
  return {std::move(made), 0};
}

// Listens on all of IPv6 and IPv4, or on all of IPv4 where there is no IPv6.
Opened ListenEverywhere(int port) {
  SocketAddress any = Wildcard(AF_INET6);
  any.set_port(port);
  Opened opened = ListenAt(any);
  if (opened.socket.open()) return opened;
  any = Wildcard(AF_INET);
  any.set_port(port);
  return ListenAt(any);
}

struct FreeAddresses {
  void operator()(addrinfo* found) const { freeaddrinfo(found); }
};
using FoundAddresses = std::unique_ptr<addrinfo, FreeAddresses>;

absl::StatusOr<FoundAddresses> Resolve(const Address& address) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(std::string(address.bare_host()).c_str(),
                  absl::StrCat(address.port).c_str(), &hints, &found);
  if (error == 0) return FoundAddresses(found);
  return CannotListen(address.text(), error == EAI_SYSTEM
                                          ? std::strerror(errno)
                                          : gai_strerror(error));
}

}  // namespace

absl::StatusOr<TcpSockets> ListenTcp(const Address& address) {
  const absl::StatusOr<FoundAddresses> found = Resolve(address);
  if (!found.ok()) return found.status();
  TcpSockets result{.port = address.port};
  int error = 0;
  for (const addrinfo* next = found->get(); next != nullptr;
       next = next->ai_next) {
    SocketAddress at;
    std::memcpy(&at.storage, next->ai_addr, next->ai_addrlen);
    at.size = next->ai_addrlen;
    at.set_port(result.port);
    Opened opened =
        at.is_wildcard() ? ListenEverywhere(result.port) : ListenAt(at);
    if (!opened.socket.open()) {
      error = opened.error;
      continue;
    }
    // Further addresses get the port that the kernel chose for the first.
    result.port = NameOf(opened.socket.number()).port();
    result.sockets.push_back(std::move(opened.socket));
  }
  if (!result.sockets.empty()) return result;
  return CannotListen(address.text(), std::strerror(error));
}

bool IsTcp(int socket) {
  const auto family = NameOf(socket).storage.ss_family;
  return family == AF_INET || family == AF_INET6;
}

bool IsLoopback(int socket) {
  const SocketAddress name = NameOf(socket);
  if (!name.is_v6()) return IsLoopbackV4(name.v4().sin_addr.s_addr);
  const in6_addr& address = name.v6().sin6_addr;
  if (!IN6_IS_ADDR_V4MAPPED(&address)) return IN6_IS_ADDR_LOOPBACK(&address);
  in_addr_t v4 = 0;
  std::memcpy(&v4, &address.s6_addr[12], sizeof(v4));
  return IsLoopbackV4(v4);
}

std::string BoundAddress(int socket) {
  const SocketAddress name = NameOf(socket);
  char host[INET6_ADDRSTRLEN] = "";
  if (name.is_v6()) {
    inet_ntop(AF_INET6, &name.v6().sin6_addr, host, sizeof(host));
    return absl::StrCat("[", host, "]:", name.port());
  }
  inet_ntop(AF_INET, &name.v4().sin_addr, host, sizeof(host));
  return absl::StrCat(host, ":", name.port());
}

void SetNoDelay(int socket) { SetOption(socket, IPPROTO_TCP, TCP_NODELAY, 1); }

}  // namespace lossd
