// A small HTTP server for pages that are computed when they are asked for.
#ifndef LOSSD_SERVER_OBSERVABILITY_HTTP_SERVER_H_
#define LOSSD_SERVER_OBSERVABILITY_HTTP_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_descriptor.h"
#include "server/observability/socket_deadlines.h"

struct MHD_Daemon;

namespace lossd::observability {

struct HttpRequest {
  // The value of the header Authorization; absent without one.
  std::optional<std::string_view> authorization;
};

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// The page of each path. Functions are called on the server's thread, one at a
// time.
using HttpPage = std::function<HttpAnswer(const HttpRequest&)>;
using HttpPages = std::map<std::string, HttpPage>;

// Answers GET and HEAD until it is destroyed: 404 for a path without a page,
// 405 for other methods. Bodies are compressed with gzip for clients that ask
// for it. Each connection carries one request, and the answer says so
// (Connection: close), so that no client sends a second one into a connection
// that is about to end.
//
// Silent connections hold up nobody: they are closed after ten seconds, and
// those that send little by little, or do not read, after half a minute. Beyond
// 64 open connections, or 32 of one address, new ones are closed. Without free
// descriptors new connections wait in the kernel's queue.
class HttpServer {  // D54
 public:
  // The longest time that a connection may be open.
  static constexpr absl::Duration kLongestConnection = absl::Seconds(30);

  // Serves on sockets that listen and do not block. Errors: RESOURCE_EXHAUSTED
  // if the system has no descriptors or threads left.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      std::vector<FileDescriptor> listeners, HttpPages pages,
      absl::Duration longest_connection = kLongestConnection);
  // Waits for the page that is being computed; other connections are cut.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  HttpServer(std::vector<FileDescriptor> listeners, HttpPages pages,
             absl::Duration longest_connection, FileDescriptor stop);

  // Accepts connections and gives them to the library, until stop_ is set.
  void Accept();
  // Notes that the library has taken a connection, or is about to close it.
  void Note(int socket, bool begins);
  // Accepts one connection. Returns false if the system has no resources.
  bool AcceptOne(int listener);

  const std::vector<FileDescriptor> listeners_;
  const HttpPages pages_;
  const absl::Duration longest_connection_;
  const FileDescriptor stop_;
  SocketDeadlines deadlines_;
  MHD_Daemon* daemon_ = nullptr;  // owned; has a thread that answers
  std::thread acceptor_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_HTTP_SERVER_H_
