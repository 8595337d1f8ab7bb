#include "server/door/acceptor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/steady_time.h"
#include "server/door/descriptor_limit.h"
#include "server/observability/log.h"

namespace lossd::door {
namespace {

constexpr int kRestMilliseconds = 100;
constexpr int kForever = -1;
constexpr int kAcceptedInTurn = 64;
constexpr absl::Duration kBetweenWarnings = absl::Seconds(10);
// A full server asks the kernel at most so often which connections have been
// closed.
constexpr absl::Duration kBetweenSweeps = absl::Milliseconds(100);

// Returns whether accept() failed for want of something that the process or the
// machine has not got, or because the listener itself is broken. All other
// errors are those of one connection that ended while it waited.
bool MustRest(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
      return true;
    default:
      return false;
  }
}

}  // namespace

int64_t Acceptor::Warning::Note() {
  ++unsaid;
  const absl::Time now = SteadyNow();
  if (now < next) return 0;
  next = now + kBetweenWarnings;
  return std::exchange(unsaid, 0);
}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(
    std::vector<Listener> listeners, int64_t max_connections,
    Connections* connections) {
  FileDescriptor stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.open()) return absl::ErrnoToStatus(errno, "eventfd");
  return std::unique_ptr<Acceptor>(new Acceptor(
      std::move(listeners), max_connections, connections, std::move(stop)));
}

Acceptor::Acceptor(std::vector<Listener> listeners, int64_t max_connections,
                   Connections* connections, FileDescriptor stop)
    : listeners_(std::move(listeners)),
      max_connections_(max_connections),
      connections_(connections),
      stop_(std::move(stop)),
      ready_(listeners_.size()) {}

Acceptor::~Acceptor() {
  eventfd_write(stop_.number(), 1);
  if (thread_.joinable()) thread_.join();
}

void Acceptor::Start(Take take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Run() {
  while (Wait()) {
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (ready_[i]) AcceptSome(listeners_[i]);
    }
  }
}

bool Acceptor::Wait() {
  std::vector<pollfd> watched = {{stop_.number(), POLLIN, 0}};
  for (const Listener& listener : listeners_) {
    // poll() ignores negative numbers.
    watched.push_back({resting_ ? -1 : listener.number(), POLLIN, 0});
  }
  const int timeout = resting_ ? kRestMilliseconds : kForever;
  poll(watched.data(), watched.size(), timeout);
  for (size_t i = 0; i < listeners_.size(); ++i) {
    ready_[i] = resting_ || watched[i + 1].revents != 0;
  }
  resting_ = false;
  return watched[0].revents == 0;
}

void Acceptor::AcceptSome(const Listener& listener) {
  for (int i = 0; i < kAcceptedInTurn; ++i) {
    FileDescriptor socket(accept4(listener.number(), nullptr, nullptr,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.open()) {
      Admit(std::move(socket), listener.transport);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (MustRest(errno)) {
      Rest(errno);
      return;
    }
  }
}

void Acceptor::Rest(int error) {
  resting_ = true;
  if (rests_.Note() == 0) return;
  observability::LogWarning(
      absl::StrCat("cannot accept connections: ", std::strerror(error), " (",
                   connections_->Count(),
                   " connections are open, and the limit of "
                   "descriptors is ",
                   DescriptorLimit(), "); they wait until some are free"));
}

void Acceptor::Admit(FileDescriptor socket, Transport transport) {
  if (IsFull()) {
    const int64_t refused = refusals_.Note();
    if (refused == 0) return;
    observability::LogWarning(
        absl::StrCat("refused ", refused, " connections: ", max_connections_,
                     " are open, which is all that --max_connections allows"));
    return;
  }
  connections_->Add(socket.number(), transport);
  take_(socket.Release(), transport);
}

bool Acceptor::IsFull() {
  if (connections_->CountAtMost() < max_connections_) return false;
  const absl::Time now = SteadyNow();
  if (now < next_sweep_) return true;
  next_sweep_ = now + kBetweenSweeps;
  return connections_->Count() >= max_connections_;
}

}  // namespace lossd::door
