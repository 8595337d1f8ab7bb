#include "base/address.h"

#include <gtest/gtest.h>

namespace lossd {
namespace {

TEST(ParseAddressTest, ReadsHostAndPort) {
  const auto address = ParseAddress("localhost:50051");
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->host, "localhost");
  EXPECT_EQ(address->bare_host(), "localhost");
  EXPECT_EQ(address->port, 50051);
  EXPECT_EQ(address->text(), "localhost:50051");
}

TEST(ParseAddressTest, AnIpv6HostKeepsItsBrackets) {
  const auto address = ParseAddress("[::1]:0");
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->host, "[::1]");
  EXPECT_EQ(address->bare_host(), "::1");
  EXPECT_EQ(address->port, 0);
  EXPECT_EQ(address->text(), "[::1]:0");
}

TEST(ParseAddressTest, RefusesAnythingElse) {
  for (const char* text :
       {"", "nowhere", ":1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1",
        "127.0.0.1:+1", "127.0.0.1: 1", "::1:50051", "[]:1", "a b:1",
        "127.0.0.1:1,127.0.0.1:2", "unix:/path", "localhost:1x",
        "localhost:99999999999"}) {
    EXPECT_FALSE(ParseAddress(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace lossd
