#include "server/observability/exposer.h"

#include <netdb.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace lossd::observability {
namespace {

// The HTTP server below takes a list of ports with option letters; we take one
// address, so what is not plainly HOST:PORT must not reach it.
bool Split(const std::string& address, std::string* host, int* port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  *host = address.substr(0, colon);
  const std::string digits = address.substr(colon + 1);
  const bool bracketed = host->front() == '[' && host->back() == ']';
  if (!bracketed && host->find(':') != std::string::npos) return false;
  if (host->find_first_of(", \t") != std::string::npos) return false;
  return digits.find_first_not_of("0123456789") == std::string::npos &&
         absl::SimpleAtoi(digits, port) && *port <= 65535;
}

// A socket for the address, and what it is to be connected to or bound to.
template <typename Use>
int WithSocket(const std::string& host, const std::string& port, Use use) {
  const bool bracketed = host.front() == '[';
  const std::string name = bracketed ? host.substr(1, host.size() - 2) : host;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), port.c_str(), &hints, &found) != 0)
    return EADDRNOTAVAIL;
  const int fd =
      socket(found->ai_family, found->ai_socktype | SOCK_NONBLOCK, 0);
  int error = errno;  // of socket(), if that failed
  if (fd >= 0) {
    error = use(fd, *found) == 0 ? 0 : errno;
    close(fd);
  }
  freeaddrinfo(found);
  return error;
}

// Connects to the address and hangs up; on this machine either happens at once,
// and whether it is answered does not matter.
void Knock(const std::string& host, const std::string& port) {
  WithSocket(host, port, [](int fd, const addrinfo& to) {
    return connect(fd, to.ai_addr, to.ai_addrlen);
  });
}

// Why nobody can listen there, which the library does not tell; 0 if one can.
int ErrorOfListening(const std::string& host, const std::string& port) {
  return WithSocket(host, port, [](int fd, const addrinfo& at) {
    const int on = 1;  // as the library does
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, at.ai_addr, at.ai_addrlen) != 0) return -1;
    return listen(fd, 1);
  });
}

absl::Status CannotListen(const std::string& address, const std::string& why) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": ", why));
}

class HttpExposer final : public Exposer {
 public:
  HttpExposer(std::unique_ptr<prometheus::Exposer> server, std::string host,
              int port)
      : server_(std::move(server)),
        host_(std::move(host)),
        port_(absl::StrCat(port)) {}

  // The HTTP server looks whether it is to stop after each connection, and
  // otherwise only every two seconds, by which a drain would be longer.
  ~HttpExposer() override {
    absl::Notification stopped;
    std::thread knocks([&] {
      while (!stopped.WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
        Knock(host_, port_);
      }
    });
    server_.reset();
    stopped.Notify();
    knocks.join();
  }

  std::string address() const override {
    return absl::StrCat(host_, ":", port_);
  }

 private:
  std::unique_ptr<prometheus::Exposer> server_;
  const std::string host_;
  const std::string port_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(
    const std::string& address, const Metrics& metrics) {
  std::string host;
  int port = 0;
  if (!Split(address, &host, &port)) {
    return CannotListen(address,
                        "not HOST:PORT, such as 127.0.0.1:9464 or [::1]:0");
  }
  // The library below throws; nothing above it does.
  try {
    // A connection that sends nothing holds a thread until the time is up; a
    // scrape sends its request at once.
    const std::vector<std::string> options = {"listening_ports",    address,
                                              "num_threads",        "4",
                                              "request_timeout_ms", "1000"};
    auto server = std::make_unique<prometheus::Exposer>(options);
    server->RegisterCollectable(metrics.collectable());
    const std::vector<int> ports = server->GetListeningPorts();
    if (ports.empty()) return CannotListen(address, "no port");
    return std::make_unique<HttpExposer>(std::move(server), host,
                                         ports.front());
  } catch (const std::exception& error) {
    const int number = ErrorOfListening(host, absl::StrCat(port));
    return CannotListen(address,
                        number == 0 ? error.what() : std::strerror(number));
  }
}

}  // namespace lossd::observability
