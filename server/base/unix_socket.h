// A Unix socket at a path, and the path's end.
#ifndef LOSSD_SERVER_BASE_UNIX_SOCKET_H_
#define LOSSD_SERVER_BASE_UNIX_SOCKET_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/file_descriptor.h"

namespace lossd {

// Makes room for a socket, of any type: what a server that died has left at
// `path` is removed. UNAVAILABLE, naming the path, if somebody listens there or
// something else than a socket is there; INVALID_ARGUMENT for a path that is
// empty or longer than the system takes.
absl::Status RemoveStaleSocket(const std::string& path);

// A listening SOCK_SEQPACKET socket that only this user can connect to (mode
// 0600), for as long as the object lives. At its end the path is removed, if it
// still is this socket.
class ListeningSocket {
 public:
  // What a server that died has left at `path` is removed. INVALID_ARGUMENT for
  // a path that is empty or longer than the system takes; UNAVAILABLE, naming
  // the path, if somebody listens there, if something else than a socket is
  // there, or if it cannot be made. Two servers that start at the same moment
  // on one path may both come up; the path is then the second one's.
  static absl::StatusOr<std::unique_ptr<ListeningSocket>> Open(
      const std::string& path);
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int number() const { return socket_.number(); }

 private:
  ListeningSocket(std::string path, FileDescriptor socket)
      : path_(std::move(path)), socket_(std::move(socket)) {}

  const std::string path_;
  const FileDescriptor socket_;
  // Which file the path was when it was made.
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_UNIX_SOCKET_H_
