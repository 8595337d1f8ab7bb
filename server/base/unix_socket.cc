#include "server/base/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/listen_error.h"
#include "server/base/status_macros.h"

namespace lossd {
namespace {

constexpr mode_t kOwnerOnly = 0600;

absl::Status SystemSays(const std::string& path) {
  return CannotListen(path, std::strerror(errno));
}

FileDescriptor NewSocket(int type) {
  return FileDescriptor(
      socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Returns the errno of connecting there, or 0 if a server accepts.
int ConnectError(const sockaddr_un& address) {
  const FileDescriptor probe = NewSocket(SOCK_SEQPACKET);
  return connect(probe.number(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) == 0
             ? 0
             : errno;
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a socket's path has 1 to ", sizeof(address.sun_path) - 1,
                     " bytes, this one has ", path.size()));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

absl::Status RemoveStaleSocket(const std::string& path) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : SystemSays(path);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return CannotListen(path, "something that is not a socket is there");
  }
  // A dead listener refuses. A listener that is full, or of another type, is
  // alive.
  const int error = ConnectError(*address);
  if (error == 0 || error == EAGAIN || error == EPROTOTYPE) {
    return CannotListen(path, "somebody listens there");
  }
  if (error != ECONNREFUSED) return CannotListen(path, std::strerror(error));
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : SystemSays(path);
}

absl::StatusOr<std::unique_ptr<ListeningSocket>> ListeningSocket::Open(
    const std::string& path, const UnixSocketOptions& options) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  RETURN_IF_ERROR(RemoveStaleSocket(path));
  FileDescriptor listener = NewSocket(options.type);
  if (!listener.open()) return SystemSays(path);
  // This comes before bind(), so that the file never has another mode.
  if ((options.owner_only && fchmod(listener.number(), kOwnerOnly) != 0) ||
      bind(listener.number(), reinterpret_cast<const sockaddr*>(&*address),
           sizeof(*address)) != 0) {
    return SystemSays(path);
  }
  std::unique_ptr<ListeningSocket> made(
      new ListeningSocket(path, std::move(listener)));
  struct stat file;
  if (lstat(path.c_str(), &file) != 0) return SystemSays(path);
  made->device_ = file.st_dev;
  made->inode_ = file.st_ino;
  if (listen(made->number(), options.backlog) != 0) return SystemSays(path);
  return made;
}

ListeningSocket::~ListeningSocket() {
  struct stat file;
  if (lstat(path_.c_str(), &file) == 0 && file.st_dev == device_ &&
      file.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

}  // namespace lossd
