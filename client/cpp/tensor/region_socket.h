// The socket over which a client asks a server for shared memory.
#ifndef LOSSD_CLIENT_CPP_TENSOR_REGION_SOCKET_H_
#define LOSSD_CLIENT_CPP_TENSOR_REGION_SOCKET_H_

#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/file_descriptor.h"
#include "lossd/v1/shared_memory.pb.h"

namespace lossd::client {

// The client's side of shared_memory.proto, with one reply to each request.
// Thread-safe.
class RegionSocket {
 public:
  // Connects; the errors are those of SharedMemory::Connect().
  static absl::StatusOr<std::shared_ptr<RegionSocket>> Connect(
      const std::string& path);
  ~RegionSocket();
  RegionSocket(const RegionSocket&) = delete;
  RegionSocket& operator=(const RegionSocket&) = delete;

  struct Answer {
    v1::SharedMemoryReply reply;
    FileDescriptor file;  // a region's memory; none if the server sent none
  };

  // Returns the reply. An error in it becomes the status. UNAVAILABLE if the
  // server is gone or takes longer than a minute; the connection is then
  // useless. FAILED_PRECONDITION in a forked process, which must not release
  // the regions of its parent.
  absl::StatusOr<Answer> Ask(const v1::SharedMemoryRequest& request);

 private:
  explicit RegionSocket(int socket) : socket_(socket), process_(getpid()) {}
  absl::StatusOr<Answer> Receive() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int socket_;
  const pid_t process_;
  absl::Mutex mu_;  // held from a request to its reply
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_REGION_SOCKET_H_
