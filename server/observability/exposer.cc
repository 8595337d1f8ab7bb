#include "server/observability/exposer.h"

#include <netdb.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/address.h"
#include "server/base/listen_error.h"

namespace lossd::observability {
namespace {

// Opens a socket of the address's family and calls use(fd, address) with it.
// Returns the error number of the call that failed, or 0.
template <typename Use>
int WithSocket(const Address& address, Use use) {
  const std::string host(address.bare_host());
  const std::string port = absl::StrCat(address.port);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
    return EADDRNOTAVAIL;
  const int fd =
      socket(found->ai_family, found->ai_socktype | SOCK_NONBLOCK, 0);
  int error = errno;  // socket()'s, if that failed
  if (fd >= 0) {
    error = use(fd, *found) == 0 ? 0 : errno;
    close(fd);
  }
  freeaddrinfo(found);
  return error;
}

// Connects to the address and hangs up. Both happen at once on this machine; an
// answer does not matter.
void Connect(const Address& address) {
  WithSocket(address, [](int fd, const addrinfo& to) {
    return connect(fd, to.ai_addr, to.ai_addrlen);
  });
}

// Returns the error number of listening on the address, which the library does
// not tell; 0 if listening works.
int ErrorOfListening(const Address& address) {
  return WithSocket(address, [](int fd, const addrinfo& at) {
    const int on = 1;  // the library sets it too
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at.ai_addr, at.ai_addrlen) != 0) return -1;
    return listen(fd, 1);
  });
}

class HttpExposer final : public Exposer {
 public:
  HttpExposer(std::unique_ptr<prometheus::Exposer> server, Address address)
      : server_(std::move(server)), address_(std::move(address)) {}

  // The HTTP server notices that it is to stop after each connection, and
  // without connections only every two seconds. Connections are made until it
  // has stopped, so that a drain does not wait for it.
  ~HttpExposer() override {
    absl::Notification stopped;
    std::thread connector([&] {
      while (!stopped.WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
        Connect(address_);
      }
    });
    server_.reset();
    stopped.Notify();
    connector.join();
  }

  std::string address() const override { return address_.text(); }

 private:
  std::unique_ptr<prometheus::Exposer> server_;
  const Address address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(
    const std::string& address, const Metrics& metrics) {
  // The HTTP server takes a list of ports with option letters, so text that is
  // not one address must not reach it.
  std::optional<Address> parsed = ParseAddress(address);
  if (!parsed.has_value()) {
    return CannotListen(address,
                        "not HOST:PORT, such as 127.0.0.1:9464 or [::1]:0");
  }
  // The library throws; no other code of the server does.
  try {
    // A connection that sends nothing holds a thread for a second. A scrape
    // sends its request at once.
    const std::vector<std::string> options = {"listening_ports",    address,
                                              "num_threads",        "4",
                                              "request_timeout_ms", "1000"};
    auto server = std::make_unique<prometheus::Exposer>(options);
    server->RegisterCollectable(metrics.collectable());
    const std::vector<int> ports = server->GetListeningPorts();
    if (ports.empty()) return CannotListen(address, "no port");
    parsed->port = ports.front();
    return std::make_unique<HttpExposer>(std::move(server), *parsed);
  } catch (const std::exception& error) {
    const int number = ErrorOfListening(*parsed);
    return CannotListen(address,
                        number == 0 ? error.what() : std::strerror(number));
  }
}

}  // namespace lossd::observability
