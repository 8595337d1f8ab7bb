#include "server/observability/exposer.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/observability/exposition.h"

namespace lossd::observability {
namespace {

std::string HostOf(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host;
}

// Returns what connect() does.
int ConnectTo(int fd, const std::string& address) {
  const sockaddr_in to = {.sin_family = AF_INET,
                          .sin_port = htons(static_cast<uint16_t>(std::stoi(
                              address.substr(address.rfind(':') + 1)))),
                          .sin_addr = {htonl(INADDR_LOOPBACK)},
                          .sin_zero = {}};
  return connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
}

int Connect(const std::string& address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = address.substr(address.rfind(':') + 1);
  if (getaddrinfo(HostOf(address).c_str(), port.c_str(), &hints, &found) != 0)
    return -1;
  const int fd = socket(found->ai_family, found->ai_socktype, 0);
  const bool connected =
      fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0;
  freeaddrinfo(found);
  if (!connected) close(fd);
  return connected ? fd : -1;
}

// Returns the text in a body that gzip compressed.
std::string Unzipped(const std::string& zipped) {
  constexpr int kGzipFormat = 16;
  z_stream stream = {};
  inflateInit2(&stream, MAX_WBITS + kGzipFormat);
  std::string text(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zipped.data()));
  stream.avail_in = static_cast<uInt>(zipped.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

// Sends the bytes and returns the whole HTTP answer, up to the end of the
// connection.
std::string AnswerOn(int fd, const std::string& request) {
  // The timeout is longer than any answer takes and ends a wait for an answer
  // that never comes.
  const timeval patience = {.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  EXPECT_EQ(write(fd, request.data(), request.size()),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_EQ(n, 0) << "the connection stays open";
  close(fd);
  return answer;
}

// Returns the answer; empty if nothing listens.
std::string Ask(const std::string& address, const std::string& method,
                const std::string& path, const std::string& headers = "") {
  const int fd = Connect(address);
  if (fd < 0) return "";
  return AnswerOn(fd, method + " " + path + " HTTP/1.1\r\nHost: test\r\n" +
                          headers + "\r\n");
}

std::string Get(const std::string& address, const std::string& path) {
  return Ask(address, "GET", path);
}

std::string Body(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  EXPECT_NE(end, std::string::npos) << answer;
  return answer.substr(end + 4);
}

// An exposer that serves on a free port.
class Exposed {
 public:
  using ReaderCheck =
      std::function<absl::Status(std::optional<absl::string_view>)>;

  explicit Exposed(const std::string& host = "127.0.0.1",
                   ReaderCheck check_reader = nullptr) {
    auto listening = Exposer::Listen(host + ":0");
    if (!listening.ok()) {
      ADD_FAILURE() << listening.status();
      return;
    }
    exposer_ = *std::move(listening);
    EXPECT_TRUE(exposer_
                    ->Serve({.metrics = &metrics_,
                             .is_serving = [this] { return serving_.load(); },
                             .facts =
                                 [] {
                                   return LogFields{{"backend", "<cpu>&"},
                                                    {"unix_socket", ""},
                                                    {"memory_bytes", 3 << 29},
                                                    {"rpc_threads", 3}};
                                 },
                             .check_reader = std::move(check_reader)})
                    .ok());
  }

  Metrics& metrics() { return metrics_; }
  void SetServing(bool serving) { serving_ = serving; }
  std::string address() const { return exposer_->address(); }
  void Stop() { exposer_.reset(); }

 private:
  Metrics metrics_{"1.2.3", "cpu/TEST", 4};
  std::atomic<bool> serving_ = true;
  std::unique_ptr<Exposer> exposer_;
};

class ExposerForms : public testing::TestWithParam<const char*> {};

TEST_P(ExposerForms, ServesMetricsOnThePortThatItNames) {
  const std::string host = GetParam();
  Exposed exposed(host);
  exposed.metrics().RecordBytesSent(12);
  const std::string address = exposed.address();
  EXPECT_TRUE(address.starts_with(host + ":")) << address;
  EXPECT_FALSE(address.ends_with(":0")) << address;

  const std::string answer = Get(address, "/metrics");
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 200"));
  const Exposition seen = ParseExposition(Body(answer));
  EXPECT_EQ(seen.at("lossd_sent_bytes_total"), 12);
}

INSTANTIATE_TEST_SUITE_P(Hosts, ExposerForms,
                         testing::Values("127.0.0.1", "localhost", "0.0.0.0",
                                         "[::1]", "[::]"));

// A client that does not know that the connection ends here would send its next
// request into it.
TEST(Exposer, SaysThatTheConnectionEnds) {
  Exposed exposed;
  for (const char* path : {"/metrics", "/healthz", "/", "/none"}) {
    EXPECT_THAT(Get(exposed.address(), path),
                testing::HasSubstr("\r\nConnection: close\r\n"));
  }
}

TEST(Exposer, NamesTheFormatOfTheMetrics) {
  Exposed exposed;
  EXPECT_THAT(Get(exposed.address(), "/metrics"),
              testing::HasSubstr("\r\nContent-Type: text/plain; version=0.0.4; "
                                 "charset=utf-8\r\n"));
}

TEST(Exposer, CompressesForClientsThatAskForIt) {
  Exposed exposed;
  const std::string zipped = Ask(exposed.address(), "GET", "/metrics",
                                 "Accept-Encoding: deflate, GZIP ;q=0.5\r\n");
  EXPECT_THAT(zipped, testing::HasSubstr("\r\nContent-Encoding: gzip\r\n"));
  EXPECT_TRUE(ParseExposition(Unzipped(Body(zipped)))
                  .samples.contains("process_threads"));
  for (const char* refusing :
       {"identity", "gzip;q=0", "gzip; q=0.0, *", "x-gzip", ""}) {
    EXPECT_THAT(Ask(exposed.address(), "GET", "/metrics",
                    std::string("Accept-Encoding: ") + refusing + "\r\n"),
                testing::Not(testing::HasSubstr("Content-Encoding")))
        << refusing;
  }
}

TEST(Exposer, AnswersHeadWithoutABody) {
  Exposed exposed;
  for (const char* path : {"/metrics", "/healthz", "/"}) {
    const std::string answer = Ask(exposed.address(), "HEAD", path);
    EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 200")) << path;
    EXPECT_THAT(answer, testing::HasSubstr("\r\nContent-Length: ")) << path;
    EXPECT_EQ(Body(answer), "") << path;
  }
}

TEST(Exposer, TellsHealthAsHttpStatus) {
  Exposed exposed;
  EXPECT_THAT(Get(exposed.address(), "/healthz"),
              testing::AllOf(testing::StartsWith("HTTP/1.1 200"),
                             testing::EndsWith("\r\n\r\nserving\n")));
  exposed.SetServing(false);
  EXPECT_THAT(Get(exposed.address(), "/healthz"),
              testing::AllOf(testing::StartsWith("HTTP/1.1 503"),
                             testing::EndsWith("\r\n\r\nnot serving\n")));
}

TEST(Exposer, ShowsFactsAndLinksToPeople) {
  Exposed exposed;
  const std::string page = Get(exposed.address(), "/");
  EXPECT_THAT(page, testing::HasSubstr("Content-Type: text/html"));
  EXPECT_THAT(page, testing::HasSubstr("<th scope=\"row\">backend</th>"
                                       "<td>&lt;cpu&gt;&amp;</td>"));
  EXPECT_THAT(page, testing::HasSubstr("<th scope=\"row\">rpc_threads</th>"
                                       "<td>3</td>"));
  EXPECT_THAT(page, testing::HasSubstr("<td>1610612736 (1.5 GiB)</td>"));
  EXPECT_THAT(page, testing::HasSubstr("unix_socket</th><td>not set</td>"));
  EXPECT_THAT(page, testing::HasSubstr(">serving</p>"));
  EXPECT_THAT(page, testing::HasSubstr("href=\"metrics\""));
  EXPECT_THAT(page, testing::HasSubstr("href=\"healthz\""));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("{{")));
  exposed.SetServing(false);
  EXPECT_THAT(Get(exposed.address(), "/"),
              testing::HasSubstr("class=\"down\">not serving</p>"));
}

// Returns what is between `before` and the next quotation mark, each time.
std::vector<std::string> Quoted(const std::string& text,
                                const std::string& before) {
  std::vector<std::string> found;
  size_t at = 0;
  while ((at = text.find(before, at)) != std::string::npos) {
    at += before.size();
    found.push_back(text.substr(at, text.find('"', at) - at));
  }
  return found;
}

TEST(Exposer, HasTheFilesThatThePageLoads) {
  Exposed exposed;
  const std::string page = Body(Get(exposed.address(), "/"));
  const std::vector<std::string> scripts = Quoted(page, "src=\"");
  ASSERT_THAT(scripts, testing::ElementsAre("page/main.mjs"));
  const std::string main = Get(exposed.address(), "/" + scripts[0]);
  // A browser runs a module only if its type says that it is a script.
  EXPECT_THAT(main, testing::HasSubstr("Content-Type: text/javascript"));
  const std::vector<std::string> imported = Quoted(Body(main), "from \"./");
  EXPECT_FALSE(imported.empty());
  for (const std::string& module : imported) {
    EXPECT_THAT(Get(exposed.address(), "/page/" + module),
                testing::StartsWith("HTTP/1.1 200"));
  }
  EXPECT_THAT(page, testing::HasSubstr("href=\"page/style.css\""));
  EXPECT_THAT(Get(exposed.address(), "/page/style.css"),
              testing::HasSubstr("Content-Type: text/css"));
}

TEST(Exposer, LoadsNothingFromElsewhere) {
  Exposed exposed;
  const std::string page = Body(Get(exposed.address(), "/"));
  EXPECT_THAT(page, testing::HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("http:")));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("https:")));
}

TEST(Exposer, SaysWhichPagesThereAre) {
  Exposed exposed;
  const std::string answer = Get(exposed.address(), "/metric");
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Body(answer), testing::HasSubstr("/ /healthz /metrics"));
}

TEST(Exposer, RefusesOtherMethods) {
  Exposed exposed;
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"}) {
    const std::string answer =
        Ask(exposed.address(), method, "/metrics", "Content-Length: 0\r\n");
    EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 405")) << method;
    EXPECT_THAT(answer, testing::HasSubstr("\r\nAllow: GET, HEAD\r\n"));
  }
}

TEST(Exposer, ShowsMetricsAndFactsOnlyToThoseWhoMaySeeThem) {
  Exposed exposed("127.0.0.1", [](std::optional<absl::string_view> value) {
    if (value == "Bearer good") return absl::OkStatus();
    if (value == "Bearer weak") return absl::PermissionDeniedError("too weak");
    return absl::UnauthenticatedError(value.has_value() ? "wrong" : "none");
  });
  const auto ask = [&exposed](const char* path, const char* headers) {
    return Ask(exposed.address(), "GET", path, headers);
  };
  for (const char* path : {"/metrics", "/"}) {
    const std::string refused = ask(path, "");
    EXPECT_THAT(refused, testing::StartsWith("HTTP/1.1 401"));
    EXPECT_THAT(refused,
                testing::HasSubstr("\r\nWWW-Authenticate: Bearer\r\n"));
    EXPECT_EQ(Body(refused), "none\n");
    EXPECT_EQ(Body(ask(path, "Authorization: Basic good\r\n")), "wrong\n");
    EXPECT_THAT(ask(path, "Authorization: Bearer weak\r\n"),
                testing::StartsWith("HTTP/1.1 403"));
    EXPECT_THAT(ask(path, "authorization: Bearer good\r\n"),
                testing::StartsWith("HTTP/1.1 200"));
  }
  EXPECT_THAT(ask("/healthz", ""), testing::StartsWith("HTTP/1.1 200"));
}

TEST(Exposer, OutlivesRequestsThatAreNone) {
  Exposed exposed;
  const std::string address = exposed.address();
  AnswerOn(Connect(address), "\x16\x03\x01 not HTTP\r\n\r\n");
  AnswerOn(Connect(address), "GET /metrics\r\n\r\n");
  AnswerOn(Connect(address),
           "GET " + std::string(1 << 20, 'a') + " HTTP/1.1\r\n\r\n");
  close(Connect(address));
  EXPECT_THAT(Get(address, "/metrics"), testing::StartsWith("HTTP/1.1 200"));
}

TEST(Exposer, AnswersBesideConnectionsThatSendNothing) {
  Exposed exposed;
  std::vector<int> silent;
  for (int i = 0; i < 8; ++i) silent.push_back(Connect(exposed.address()));
  EXPECT_THAT(Get(exposed.address(), "/metrics"),
              testing::StartsWith("HTTP/1.1 200"));
  for (const int fd : silent) close(fd);
}

TEST(Exposer, AnswersWhenThereAreDescriptorsAgain) {
  Exposed exposed;
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  rlimit usual;
  getrlimit(RLIMIT_NOFILE, &usual);
  // The next descriptor would have the number `none`.
  const int none = dup(client);
  close(none);
  const rlimit low = {static_cast<rlim_t>(none), usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(ConnectTo(client, exposed.address()), 0);
  EXPECT_EQ(dup(client), -1);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_THAT(AnswerOn(client, "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n"),
              testing::StartsWith("HTTP/1.1 200"));
}

TEST(Exposer, StopsListeningWhenDestroyed) {
  Exposed exposed;
  const std::string address = exposed.address();
  const int silent = Connect(address);
  EXPECT_NE(Get(address, "/metrics"), "");
  exposed.Stop();
  EXPECT_EQ(Get(address, "/metrics"), "");
  close(silent);
}

TEST(Exposer, NamesAPortThatIsInUseAndWhy) {
  Exposed first;
  const auto second = Exposer::Listen(first.address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(second.status().message()),
            "cannot listen on " + first.address() + ": Address already in use");
  EXPECT_NE(Get(first.address(), "/metrics"), "");  // the first goes on
}

class BadAddress : public testing::TestWithParam<const char*> {};

TEST_P(BadAddress, IsUnavailableAndNamed) {
  const auto exposer = Exposer::Listen(GetParam());
  ASSERT_FALSE(exposer.ok());
  EXPECT_EQ(exposer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(exposer.status().message()),
              testing::HasSubstr(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Forms, BadAddress,
                         testing::Values("", "9464", ":9464", "127.0.0.1",
                                         "127.0.0.1:", "127.0.0.1:x",
                                         "127.0.0.1:99999",
                                         "127.0.0.1:1,127.0.0.1:2",
                                         "127.0.0.1:9464s", "::1:9464",
                                         "192.0.2.1:0"));

}  // namespace
}  // namespace lossd::observability
