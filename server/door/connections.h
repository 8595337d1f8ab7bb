// The connections that were accepted and that gRPC has not closed yet.
#ifndef LOSSD_SERVER_DOOR_CONNECTIONS_H_
#define LOSSD_SERVER_DOOR_CONNECTIONS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/file_descriptor.h"

namespace lossd::door {

enum class Transport { kTcp, kUnix };

// Knows each connection by its descriptor and its socket's inode. gRPC owns the
// descriptors and reports no close, so a connection counts as closed once its
// descriptor is free or is another file (D47). Thread-safe, except for
// EndIdle() and EndAll(), which one thread calls.
class Connections {
 public:
  // `encrypted` says that the connections use TLS. Errors: those of opening
  // /dev/null.
  static absl::StatusOr<std::unique_ptr<Connections>> Create(bool encrypted);

  // Notes an accepted connection. The caller then gives `socket` to gRPC.
  void Add(int socket, Transport transport);

  // Returns how many are open, after it has asked the kernel about each.
  int64_t Count(Transport transport);
  int64_t Count();

  // Returns at least how many are open, without asking the kernel.
  int64_t CountAtMost() const;

  // Returns a number that the connections of one client process have in
  // common, for a call whose ServerContext::peer() is `peer`. Returns nothing
  // unless the peer is a connection in this table that gRPC names by its
  // descriptor: one of a Unix socket without TLS.
  std::optional<uint64_t> FlowOf(absl::string_view peer) const;

  // Returns a name for people: unix:pid:NUMBER of the client's process for such
  // a connection, or unix: if the kernel does not tell the process, and else
  // `peer`.
  std::string NameOf(absl::string_view peer) const;

  // Returns the flow of each open connection, as door::FlowOf() returns it for
  // its calls; connections may share one. For a connection with TLS at a Unix
  // socket, whose calls alone know its flow, this is one that no call has.
  std::vector<uint64_t> Flows() const;

  // Ends the connections for whose flow `is_busy` returns false: those that no
  // accepted request needs. The first call that finds one so writes a GOAWAY
  // frame to it, unless it is encrypted, after which a client sends no more
  // calls there. The next makes gRPC read the end of its input, upon which it
  // writes what it has left and closes; a client sees UNAVAILABLE for the calls
  // it has open. A connection whose client has not yet received all that was
  // sent is left alone.
  void EndIdle(absl::FunctionRef<bool(uint64_t flow)> is_busy);

  // Ends every connection in this way. Those that are left alone are ended by
  // force after `patience`, which must be zero if accepted requests are left.
  // Returns true if all have ended.
  bool EndAll(absl::Duration patience);

 private:
  struct Connection {
    dev_t device = 0;
    ino_t inode = 0;  // 0 if the descriptor is not a connection
    Transport transport = Transport::kTcp;
    uint64_t flow = 0;
    pid_t process = 0;  // the client's at a Unix socket; 0 if it is not known
    bool told_to_go_away = false;
  };

  Connections(bool encrypted, FileDescriptor nothing, FileDescriptor probe)
      : encrypted_(encrypted),
        nothing_(std::move(nothing)),
        probe_(std::move(probe)) {}

  // Removes the connections that gRPC has closed.
  void Sweep();
  std::vector<Connection> Snapshot() const;
  // Returns the connection that gRPC names `peer`, or one without an inode.
  Connection Find(absl::string_view peer) const;
  // Ends those that `is_busy` lets go, and by force also those whose clients
  // have not received everything. Returns how many have not ended yet.
  int64_t EndSome(absl::FunctionRef<bool(uint64_t flow)> is_busy, bool force);
  // Returns whether the connection has ended.
  bool End(int socket, const Connection& connection, bool force);
  // Takes the next step to the end of the connection that `probe_` is.
  void EndGently(size_t socket, const Connection& connection);
  void Remove(size_t socket) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const bool encrypted_;

  mutable absl::Mutex mu_;
  std::vector<Connection> by_socket_ ABSL_GUARDED_BY(mu_);
  int64_t open_[2] ABSL_GUARDED_BY(mu_) = {0, 0};  // by transport

  // The end of a connection needs a second descriptor of it, which may not be
  // had when the process has none left, so one is kept: `probe_`, which is
  // /dev/null, as `nothing_` is, when it is not in use.
  const FileDescriptor nothing_;
  const FileDescriptor probe_;
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_CONNECTIONS_H_
