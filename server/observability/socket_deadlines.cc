#include "server/observability/socket_deadlines.h"

#include <sys/socket.h>

namespace lossd::observability {

void SocketDeadlines::Add(int socket, absl::Time end) {
  absl::MutexLock lock(&mu_);
  ends_[socket] = end;
}

void SocketDeadlines::Remove(int socket) {
  absl::MutexLock lock(&mu_);
  ends_.erase(socket);
}

void SocketDeadlines::EndLate(absl::Time now) {
  absl::MutexLock lock(&mu_);
  for (const auto& [socket, end] : ends_) {
    if (end <= now) shutdown(socket, SHUT_RDWR);
  }
}

}  // namespace lossd::observability
