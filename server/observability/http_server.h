// A small HTTP server for pages that are computed when they are asked for.
#ifndef LOSSD_SERVER_OBSERVABILITY_HTTP_SERVER_H_
#define LOSSD_SERVER_OBSERVABILITY_HTTP_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_descriptor.h"

struct MHD_Daemon;

namespace lossd::observability {

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// The page of each path. Functions are called on the server's thread, one at a
// time.
using HttpPages = std::map<std::string, std::function<HttpAnswer()>>;

// Answers GET and HEAD until it is destroyed: 404 for a path without a page,
// 405 for other methods. Bodies are compressed with gzip for clients that ask
// for it. Each connection carries one request, and the answer says so
// (Connection: close), so that no client sends a second one into a connection
// that is about to end.
//
// Silent connections hold up nobody: they are closed after ten seconds, and
// beyond 64 open connections new ones are closed. Without free descriptors new
// connections wait in the kernel's queue.
class HttpServer {  // D54
 public:
  // Serves on sockets that listen and do not block. Errors: RESOURCE_EXHAUSTED
  // if the system has no descriptors or threads left.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      std::vector<FileDescriptor> listeners, HttpPages pages);
  // Waits for the page that is being computed; other connections are cut.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  HttpServer(std::vector<FileDescriptor> listeners, HttpPages pages,
             FileDescriptor stop);

  // Accepts connections and gives them to the library, until stop_ is set.
  void Accept();
  // Accepts one connection. Returns false if the system has no resources.
  bool AcceptOne(int listener);

  const std::vector<FileDescriptor> listeners_;
  const HttpPages pages_;
  const FileDescriptor stop_;
  MHD_Daemon* daemon_ = nullptr;  // owned; has a thread that answers
  std::thread acceptor_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_HTTP_SERVER_H_
