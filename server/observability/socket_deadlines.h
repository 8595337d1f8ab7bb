// Ends sockets that have been open for too long.
#ifndef LOSSD_SERVER_OBSERVABILITY_SOCKET_DEADLINES_H_
#define LOSSD_SERVER_OBSERVABILITY_SOCKET_DEADLINES_H_

#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lossd::observability {

// Knows open sockets and when each is to end, because an owner that closes only
// silent ones keeps those for ever that send a byte now and then. The owner
// calls Remove() before it closes a socket, so that no other file that has got
// its number is ended. Thread-safe.
class SocketDeadlines {
 public:
  void Add(int socket, absl::Time end);
  void Remove(int socket);

  // Shuts down, in both directions, the sockets whose end has come. Their owner
  // sees that and closes them.
  void EndLate(absl::Time now);

 private:
  absl::Mutex mu_;
  std::map<int, absl::Time> ends_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_SOCKET_DEADLINES_H_
