// The Unix socket over which workers on this host get regions.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_SOCKET_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_SOCKET_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_descriptor.h"
#include "server/base/unix_socket.h"
#include "server/shared_memory/region_table.h"

namespace lossd::shared_memory {

struct RegionSocketOptions {
  std::string path;
  // Further connections get RESOURCE_EXHAUSTED and are closed.
  size_t max_connections = 256;
};

// Serves shared_memory.proto from construction to destruction. One thread is
// enough: a region is made once and used for thousands of requests, so a client
// can wait for another's. All regions of a connection are released when it
// closes. A client that does not read its answers is disconnected. Only the
// constructing thread uses the object.
class RegionSocket {
 public:
  // Listens at `options.path`. `table` is borrowed. Returns the errors of
  // ListeningSocket::Open().
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
  // Blocks until something is ready; returns false when the socket is closed.
  bool Wait();
  void AcceptAll();
  void Admit(FileDescriptor socket);
  // Answers the packets of a peer; returns false if the connection is over.
  bool Serve(const Peer& peer);

  // --- constant ---
  const RegionSocketOptions options_;
  RegionTable* const table_;
  const std::unique_ptr<ListeningSocket> listener_;
  const FileDescriptor stop_;  // an eventfd that becomes readable at the end

  // --- used by the thread alone ---
  struct Ready {
    bool listener = false;
    std::vector<bool> peers;  // in the order of peers_
  };
  Ready ready_;
  std::vector<Peer> peers_;
  Connection next_id_ = 1;
  // True after the system had no descriptor for a connection. The listener
  // would stay readable, so it is not polled for a moment.
  bool out_of_descriptors_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_SOCKET_H_
