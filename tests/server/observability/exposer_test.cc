#include "server/observability/exposer.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/server/observability/exposition.h"

namespace lossd::observability {
namespace {

std::string HostOf(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host;
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

// Returns the whole HTTP answer; empty if nothing listens.
std::string Get(const std::string& address, const std::string& path) {
  const int fd = Connect(address);
  if (fd < 0) return "";
  // The timeout is longer than any answer takes and ends a wait for an answer
  // that never comes.
  const timeval patience = {.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: test\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

class ExposerForms : public testing::TestWithParam<const char*> {};

TEST_P(ExposerForms, ServesMetricsOnThePortThatItNames) {
  Metrics metrics("1.2.3", "cpu/TEST");
  metrics.RecordBytesSent(12);
  const std::string host = GetParam();
  const auto exposer = Exposer::Start(host + ":0", metrics);
  ASSERT_TRUE(exposer.ok()) << exposer.status();
  const std::string address = (*exposer)->address();
  EXPECT_TRUE(address.starts_with(host + ":")) << address;
  EXPECT_FALSE(address.ends_with(":0")) << address;

  const std::string answer = Get(address, "/metrics");
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 200"));
  const size_t body = answer.find("\r\n\r\n");
  ASSERT_NE(body, std::string::npos);
  const Exposition seen = ParseExposition(answer.substr(body + 4));
  EXPECT_EQ(seen.at("lossd_sent_bytes_total"), 12);
}

INSTANTIATE_TEST_SUITE_P(Hosts, ExposerForms,
                         testing::Values("127.0.0.1", "localhost", "0.0.0.0"));

TEST(Exposer, AnswersBesideConnectionsThatSendNothing) {
  Metrics metrics("1", "cpu/TEST");
  const auto exposer = Exposer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(exposer.ok()) << exposer.status();
  std::vector<int> silent;
  for (int i = 0; i < 8; ++i) silent.push_back(Connect((*exposer)->address()));
  EXPECT_THAT(Get((*exposer)->address(), "/metrics"),
              testing::StartsWith("HTTP/1.1 200"));
  for (const int fd : silent) close(fd);
}

TEST(Exposer, StopsListeningWhenDestroyed) {
  Metrics metrics("1", "cpu/TEST");
  auto exposer = Exposer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(exposer.ok());
  const std::string address = (*exposer)->address();
  EXPECT_NE(Get(address, "/metrics"), "");
  exposer->reset();
  EXPECT_EQ(Get(address, "/metrics"), "");
}

// The HTTP library serves IPv6 only if it was built with it.
TEST(Exposer, ServesAnIpv6HostOrNamesItInTheRefusal) {
  Metrics metrics("1", "cpu/TEST");
  const auto exposer = Exposer::Start("[::1]:0", metrics);
  if (exposer.ok()) {
    EXPECT_THAT(Get((*exposer)->address(), "/metrics"),
                testing::StartsWith("HTTP/1.1 200"));
  } else {
    EXPECT_EQ(exposer.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(exposer.status().message()),
                testing::HasSubstr("[::1]:0"));
  }
}

TEST(Exposer, NamesAPortThatIsInUse) {
  Metrics metrics("1", "cpu/TEST");
  const auto first = Exposer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(first.ok());
  const std::string taken = (*first)->address();
  const auto second = Exposer::Start(taken, metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              testing::HasSubstr(taken));
  EXPECT_NE(Get(taken, "/metrics"), "");  // the first goes on
}

class BadAddress : public testing::TestWithParam<const char*> {};

TEST_P(BadAddress, IsUnavailableAndNamed) {
  Metrics metrics("1", "cpu/TEST");
  const auto exposer = Exposer::Start(GetParam(), metrics);
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
