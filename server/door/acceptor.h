// The thread that accepts connections.
#ifndef LOSSD_SERVER_DOOR_ACCEPTOR_H_
#define LOSSD_SERVER_DOOR_ACCEPTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_descriptor.h"
#include "server/door/connections.h"
#include "server/door/listener.h"

namespace lossd::door {

// Accepts connections until it is destroyed, whatever accept() says. Without
// free descriptors or memory it rests for a tenth of a second, and new
// connections wait in the kernel's queue meanwhile. A connection beyond the
// limit is accepted and closed, so that its client looks elsewhere at once.
// Either is said in a warning, at most one line in ten seconds. gRPC's own
// listener never accepts again after it once had no descriptor left (D46).
//
// Not thread-safe; `take` runs on the acceptor's thread.
class Acceptor {
 public:
  // Takes over an accepted connection, which does not block, with its
  // descriptor.
  using Take = std::function<void(int socket, Transport transport)>;

  // Borrows `connections`. Errors: those of eventfd().
  static absl::StatusOr<std::unique_ptr<Acceptor>> Create(
      std::vector<Listener> listeners, int64_t max_connections,
      Connections* connections);

  // Starts to accept; until then connections wait in the kernel's queue.
  void Start(Take take);

  // Stops to accept and closes the listeners.
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

 private:
  // Keeps one reason's warnings apart by ten seconds.
  struct Warning {
    absl::Time next = absl::InfinitePast();
    int64_t unsaid = 0;  // events since the last line
    // Notes an event. Returns how many are to be said now, or 0.
    int64_t Note();
  };

  Acceptor(std::vector<Listener> listeners, int64_t max_connections,
           Connections* connections, FileDescriptor stop);

  void Run();
  // Waits for connections or, while resting, for the end of the rest. Returns
  // false at the end.
  bool Wait();
  // Accepts what waits there, up to a bound that lets the others have a turn.
  void AcceptSome(const Listener& listener);
  void Admit(FileDescriptor socket, Transport transport);
  bool IsFull();
  void Rest(int error);

  const std::vector<Listener> listeners_;
  const int64_t max_connections_;
  Connections* const connections_;
  const FileDescriptor stop_;
  Take take_;

  std::vector<bool> ready_;  // by listener
  bool resting_ = false;
  absl::Time next_sweep_ = absl::InfinitePast();
  Warning rests_;
  Warning refusals_;
  std::thread thread_;  // declared last: it uses all of the above
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_ACCEPTOR_H_
