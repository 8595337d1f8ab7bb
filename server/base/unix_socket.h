// Unix sockets that listen at a path, and the cleaning of such paths.
#ifndef LOSSD_SERVER_BASE_UNIX_SOCKET_H_
#define LOSSD_SERVER_BASE_UNIX_SOCKET_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_descriptor.h"

namespace lossd {

// Removes the socket, of any type, that a dead server left at `path`. OK also
// if nothing is there. UNAVAILABLE, naming the path, if a living server listens
// there or if the path is something else than a socket; INVALID_ARGUMENT for a
// path that is empty or longer than the system allows.
absl::Status RemoveStaleSocket(const std::string& path);

struct UnixSocketOptions {
  int type = SOCK_SEQPACKET;
  // Whether only this user can connect (mode 0600); else the umask decides.
  bool owner_only = true;
  // Connections that wait to be accepted.
  int backlog = 64;
};

// A listening Unix socket, which does not block, for as long as the object
// lives. The destructor removes the path if it still is this socket. Not
// thread-safe.
class ListeningSocket {
 public:
  // Listens at `path`, after RemoveStaleSocket(), whose errors it returns;
  // UNAVAILABLE, naming the path, also if the socket cannot be made. Two
  // servers that start at the same moment on one path may both come up; the
  // path then belongs to the second.
  static absl::StatusOr<std::unique_ptr<ListeningSocket>> Open(
      const std::string& path, const UnixSocketOptions& options = {});
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int number() const { return socket_.number(); }

 private:
  ListeningSocket(std::string path, FileDescriptor socket)
      : path_(std::move(path)), socket_(std::move(socket)) {}

  const std::string path_;
  const FileDescriptor socket_;
  // The identity of the file that was made at the path.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_UNIX_SOCKET_H_
