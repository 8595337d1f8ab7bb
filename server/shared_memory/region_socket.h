// The Unix socket over which workers of this host get shared memory.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_SOCKET_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_SOCKET_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/file_descriptor.h"
#include "server/base/unix_socket.h"
#include "server/shared_memory/region_table.h"

namespace lossd::shared_memory {

struct RegionSocketOptions {
  std::string path;
  // More are told RESOURCE_EXHAUSTED and closed.
  size_t max_connections = 256;
};

// Serves shared_memory.proto, from construction to destruction, on one thread:
// a region is made once and used for thousands of requests, so nobody minds
// waiting for another's. What a connection registered is released when it
// closes. A client that does not read its answers is disconnected.
class RegionSocket {
 public:
  // `table` is borrowed. Errors are those of ListeningSocket::Open().
  static absl::StatusOr<std::unique_ptr<RegionSocket>> Start(
      const RegionSocketOptions& options, RegionTable* table);

  // Closes every connection, releases their regions, removes the path.
  ~RegionSocket();

 private:
  struct Peer {
    Connection id;
    FileDescriptor socket;
  };

  RegionSocket(const RegionSocketOptions& options, RegionTable* table,
               std::unique_ptr<ListeningSocket> listener, FileDescriptor stop);

  void Run();
  // Waits for something to do; false: the socket is being closed.
  bool Wait();
  void AcceptAll();
  void Admit(FileDescriptor socket);
  // Answers what a peer has sent; false: the connection is over.
  bool Serve(const Peer& peer);

  // --- constant ---
  const RegionSocketOptions options_;
  RegionTable* const table_;
  const std::unique_ptr<ListeningSocket> listener_;
  const FileDescriptor stop_;  // an eventfd; readable: end

  // --- the thread's own ---
  struct Ready {
    bool listener = false;
    std::vector<bool> peers;  // in the order of peers_
  };
  Ready ready_;
  std::vector<Peer> peers_;
  Connection next_id_ = 1;
  // The system had no descriptor for a connection: the listener is left alone
  // for a moment, as it would stay readable.
  bool out_of_descriptors_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_SOCKET_H_
