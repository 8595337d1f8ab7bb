#include "server/observability/http_server.h"

#include <microhttpd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/steady_time.h"
#include "server/observability/gzip.h"

namespace lossd::observability {
namespace {

constexpr unsigned kMaxConnections = 64;
constexpr unsigned kMaxConnectionsOfAnAddress = 32;
constexpr unsigned kIdleSeconds = 10;
// How long the acceptor rests when the system has no descriptors left.
constexpr int kRestMilliseconds = 100;
// How often connections are looked for that have been open for too long.
constexpr int kSweepMilliseconds = 1000;

HttpAnswer NotFound(const HttpPages& pages) {
  std::string body = "There is no such page. The pages are:";
  for (const auto& [path, page] : pages) absl::StrAppend(&body, " ", path);
  return {.status = MHD_HTTP_NOT_FOUND, .body = absl::StrCat(body, "\n")};
}

HttpAnswer NotAllowed() {
  return {.status = MHD_HTTP_METHOD_NOT_ALLOWED,
          .body = "Only GET and HEAD are answered here.\n"};
}

HttpAnswer AnswerTo(const HttpPages& pages, std::string_view method,
                    const char* path, const HttpRequest& request) {
  const bool reads =
      method == MHD_HTTP_METHOD_GET || method == MHD_HTTP_METHOD_HEAD;
  if (!reads) return NotAllowed();
  const auto page = pages.find(path);
  return page == pages.end() ? NotFound(pages) : page->second(request);
}

// Returns the value of a header of the request, or null.
const char* HeaderOf(MHD_Connection* connection, const char* name) {
  return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

HttpRequest RequestOf(MHD_Connection* connection) {
  const char* authorization =
      HeaderOf(connection, MHD_HTTP_HEADER_AUTHORIZATION);
  if (authorization == nullptr) return {};
  return {.authorization = authorization};
}

MHD_Result Send(MHD_Connection* connection, HttpAnswer answer) {
  const char* wanted = HeaderOf(connection, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  const bool zipped = wanted != nullptr && AcceptsGzip(wanted);
  if (zipped) answer.body = Gzip(answer.body);
  MHD_Response* response = MHD_create_response_from_buffer(
      answer.body.size(), answer.body.data(), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;  // closes the connection
  const auto add = [response](const char* name, const char* value) {
    MHD_add_response_header(response, name, value);
  };
  add(MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type.c_str());
  add(MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  add(MHD_HTTP_HEADER_CONNECTION, "close");
  if (zipped) add(MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
  if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) {
    add(MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  }
  if (answer.status == MHD_HTTP_UNAUTHORIZED) {
    add(MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
  }
  const MHD_Result queued =
      MHD_queue_response(connection, answer.status, response);
  MHD_destroy_response(response);
  return queued;
}

// The library calls this when it has read a request's headers. An answer at
// this point makes it leave a body unread. It sends no body for HEAD.
MHD_Result Handle(void* pages, MHD_Connection* connection, const char* path,
                  const char* method, const char* /*version*/,
                  const char* /*upload*/, size_t* /*upload_size*/,
                  void** /*request*/) {
  return Send(connection, AnswerTo(*static_cast<const HttpPages*>(pages),
                                   method, path, RequestOf(connection)));
}

int SocketOf(MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
      ->connect_fd;
}

bool IsOutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    std::vector<FileDescriptor> listeners, HttpPages pages,
    absl::Duration longest_connection) {
  FileDescriptor stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.open()) return absl::ResourceExhaustedError(std::strerror(errno));
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::move(listeners), std::move(pages), longest_connection,
                     std::move(stop)));
  const MHD_NotifyConnectionCallback notify =
      [](void* self, MHD_Connection* connection, void** /*context*/,
         MHD_ConnectionNotificationCode code) {
        static_cast<HttpServer*>(self)->Note(
            SocketOf(connection), code == MHD_CONNECTION_NOTIFY_STARTED);
      };
  server->daemon_ = MHD_start_daemon(
      MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC, 0,
      nullptr, nullptr, &Handle, const_cast<HttpPages*>(&server->pages_),
      MHD_OPTION_CONNECTION_LIMIT, kMaxConnections,
      MHD_OPTION_PER_IP_CONNECTION_LIMIT, kMaxConnectionsOfAnAddress,
      MHD_OPTION_NOTIFY_CONNECTION, notify, server.get(),
      MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_END);
  if (server->daemon_ == nullptr) {
    return absl::ResourceExhaustedError(
        "the HTTP server has no descriptors or threads");
  }
  server->acceptor_ = std::thread([raw = server.get()] { raw->Accept(); });
  return server;
}

HttpServer::HttpServer(std::vector<FileDescriptor> listeners, HttpPages pages,
                       absl::Duration longest_connection, FileDescriptor stop)
    : listeners_(std::move(listeners)),
      pages_(std::move(pages)),
      longest_connection_(longest_connection),
      stop_(std::move(stop)) {}

HttpServer::~HttpServer() {
  eventfd_write(stop_.number(), 1);
  if (acceptor_.joinable()) acceptor_.join();
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

void HttpServer::Note(int socket, bool begins) {
  if (begins) {
    deadlines_.Add(socket, SteadyNow() + longest_connection_);
  } else {
    deadlines_.Remove(socket);
  }
}

void HttpServer::Accept() {
  std::vector<pollfd> watched = {{stop_.number(), POLLIN, 0}};
  for (const FileDescriptor& listener : listeners_) {
    watched.push_back({listener.number(), POLLIN, 0});
  }
  bool resting = false;
  while (true) {
    const nfds_t count = resting ? 1 : watched.size();
    poll(watched.data(), count,
         resting ? kRestMilliseconds : kSweepMilliseconds);
    if (watched[0].revents != 0) return;
    deadlines_.EndLate(SteadyNow());
    resting = false;
    for (size_t i = 1; i < count; ++i) {
      if (watched[i].revents != 0 && !AcceptOne(watched[i].fd)) resting = true;
    }
  }
}

bool HttpServer::AcceptOne(int listener) {
  sockaddr_storage client;
  socklen_t size = sizeof(client);
  auto* address = reinterpret_cast<sockaddr*>(&client);
  const int accepted =
      accept4(listener, address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted < 0) return !IsOutOfResources(errno);
  // The library closes a connection that it does not take.
  MHD_add_connection(daemon_, accepted, address, size);
  return true;
}

}  // namespace lossd::observability
