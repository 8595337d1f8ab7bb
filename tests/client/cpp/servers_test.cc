#include "client/cpp/servers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lossd::client {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(ServersTest, OneServerIsTakenAsItIs) {
  for (const std::string text :
       {"localhost:50051", "[::1]:1", "unix:/a,b", "unix-abstract:x",
        "ipv4:10.0.0.1:1", "xds:///service", "vsock:2:1"}) {
    const auto servers = ParseServers(text);
    ASSERT_TRUE(servers.ok()) << servers.status();
    EXPECT_EQ(servers->text, text);
    EXPECT_TRUE(servers->listed.empty());
    EXPECT_FALSE(servers->several) << text;
  }
}

TEST(ServersTest, ANameOrSeveralAddressesMayBeSeveralServers) {
  for (const std::string text :
       {"dns:///name:1", "dns:name:1", "dns://10.0.0.1/name:1",
        "ipv4:10.0.0.1:1,10.0.0.2:1", "ipv6:[::1]:1,[::2]:1"}) {
    const auto servers = ParseServers(text);
    ASSERT_TRUE(servers.ok()) << servers.status();
    EXPECT_TRUE(servers->several) << text;
    EXPECT_TRUE(servers->listed.empty());
  }
}

TEST(ServersTest, AListHasCommas) {
  const auto servers = ParseServers("a:1, [::1]:2,10.0.0.1:3");
  ASSERT_TRUE(servers.ok()) << servers.status();
  EXPECT_TRUE(servers->several);
  ASSERT_EQ(servers->listed.size(), 3);
  EXPECT_EQ(servers->listed[0].text(), "a:1");
  EXPECT_EQ(servers->listed[1].text(), "[::1]:2");
  EXPECT_EQ(servers->listed[2].text(), "10.0.0.1:3");
}

TEST(ServersTest, BadTargetsAreNamed) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "target: must not be empty"},
      {"localhost", "target: \"localhost\" must be HOST:PORT"},
      {"http://a:1", "must be HOST:PORT"},
      {",", "target: \"\" in a list of servers must be HOST:PORT"},
      {"a:1,", "target: \"\" in a list"},
      {"a:1,b", "target: \"b\" in a list"},
      {"a:1,b:0", "target: \"b:0\" in a list"},
      {"a:1,b:65536", "target: \"b:65536\" in a list"},
      {"a:1,A:1", "target: \"A:1\" is given twice"},
      {"dns:///name", "target: \"dns:///name\" must be dns:///NAME:PORT"},
      {"dns://name:1", "must be dns:///NAME:PORT"},
      {"a:1,unix:/path", "target: \"unix:/path\" in a list of servers; give"},
  };
  for (const auto& [target, why] : cases) {
    const auto servers = ParseServers(target);
    EXPECT_TRUE(absl::IsInvalidArgument(servers.status())) << target;
    const std::string message(servers.status().message());
    EXPECT_THAT(message, StartsWith("target: "));
    EXPECT_THAT(message, HasSubstr(why));
  }
}

}  // namespace
}  // namespace lossd::client
