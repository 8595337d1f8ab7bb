#include "server/door/listener.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "server/base/status_macros.h"
#include "server/base/tcp_socket.h"

namespace lossd::door {
namespace {

absl::Status Named(absl::string_view flag, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("--", flag, ": ", status.message()));
}

bool Has(const Listeners& listeners, Transport transport) {
  for (const Listener& listener : listeners.all) {
    if (listener.transport == transport) return true;
  }
  return false;
}

Listeners Adopt(std::vector<FileDescriptor> handed_over) {
  Listeners listeners;
  for (FileDescriptor& socket : handed_over) {
    const bool tcp = IsTcp(socket.number());
    if (tcp && listeners.address.empty()) {
      listeners.address = BoundAddress(socket.number());
    }
    listeners.all.push_back(
        {tcp ? Transport::kTcp : Transport::kUnix, std::move(socket), nullptr});
  }
  return listeners;
}

absl::Status AddTcp(const std::string& text, Listeners* listeners) {
  Address address = *ParseAddress(text);  // ValidateConfig() read it
  absl::StatusOr<TcpSockets> opened = ListenTcp(address);
  if (!opened.ok()) return Named("listen", opened.status());
  address.port = opened->port;
  listeners->address = address.text();
  for (FileDescriptor& socket : opened->sockets) {
    listeners->all.push_back({Transport::kTcp, std::move(socket), nullptr});
  }
  return absl::OkStatus();
}

absl::Status AddUnix(const std::string& path, Listeners* listeners) {
  absl::StatusOr<std::unique_ptr<ListeningSocket>> opened =
      ListeningSocket::Open(
          path,
          {.type = SOCK_STREAM, .owner_only = false, .backlog = SOMAXCONN});
  if (!opened.ok()) return Named("unix_socket", opened.status());
  listeners->all.push_back(
      {Transport::kUnix, FileDescriptor(), *std::move(opened)});
  return absl::OkStatus();
}

bool BeyondLoopback(const std::vector<Listener>& listeners) {
  return std::ranges::any_of(listeners, [](const Listener& listener) {
    return listener.transport == Transport::kTcp &&
           !IsLoopback(listener.number());
  });
}

}  // namespace

absl::StatusOr<Listeners> OpenListeners(
    const ListenOptions& options, std::vector<FileDescriptor> handed_over) {
  Listeners listeners = Adopt(std::move(handed_over));
  if (!Has(listeners, Transport::kTcp)) {
    RETURN_IF_ERROR(AddTcp(options.address, &listeners));
  }
  if (!options.unix_path.empty() && !Has(listeners, Transport::kUnix)) {
    RETURN_IF_ERROR(AddUnix(options.unix_path, &listeners));
  }
  listeners.beyond_loopback = BeyondLoopback(listeners.all);
  return listeners;
}

}  // namespace lossd::door
