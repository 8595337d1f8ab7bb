#ifndef LOSSD_CLIENT_CPP_REGION_SOCKET_H_
#define LOSSD_CLIENT_CPP_REGION_SOCKET_H_

#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "lossd/v1/shared_memory.pb.h"

namespace lossd::client {

// The client's side of shared_memory.proto: one request, one reply.
// Thread-safe.
class RegionSocket {
 public:
  // As SharedMemory::Connect().
  static absl::StatusOr<std::shared_ptr<RegionSocket>> Connect(
      const std::string& path);
  ~RegionSocket();
  RegionSocket(const RegionSocket&) = delete;
  RegionSocket& operator=(const RegionSocket&) = delete;

  // The reply, which is no error: that becomes the status. `*file` is the
  // caller's to close, or -1. UNAVAILABLE if the server is gone or takes longer
  // than a minute; the connection is then of no more use. FAILED_PRECONDITION
  // in a process that was forked off: the regions are not its own to release.
  absl::StatusOr<v1::SharedMemoryReply> Ask(
      const v1::SharedMemoryRequest& request, int* file);

 private:
  explicit RegionSocket(int socket) : socket_(socket), process_(getpid()) {}
  absl::StatusOr<v1::SharedMemoryReply> Receive(int* file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int socket_;
  const pid_t process_;
  absl::Mutex mu_;  // a request and its reply belong together
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_REGION_SOCKET_H_
