#include "client/cpp/lookups.h"

#include <gmock/gmock.h>
#include <grpc/support/log.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <map>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace lossd::client {
namespace {

using testing::AnyOf;
using Table = std::map<std::string, std::vector<std::string>>;

// Answers from a table. Thread-safe.
class Dns {
 public:
  explicit Dns(Table table) : table_(std::move(table)) {}

  void Set(Table table) {
    absl::MutexLock lock(&mu_);
    table_ = std::move(table);
  }
  int asked() {
    absl::MutexLock lock(&mu_);
    return asked_;
  }
  Lookups::Resolver resolver() {
    return [this](const std::string& host)
               -> absl::StatusOr<std::vector<std::string>> {
      absl::MutexLock lock(&mu_);
      ++asked_;
      const auto found = table_.find(host);
      if (found == table_.end()) return absl::UnavailableError("unknown");
      return found->second;
    };
  }

 private:
  absl::Mutex mu_;
  Table table_;
  int asked_ = 0;
};

std::vector<Address> Servers(const std::vector<std::string>& texts) {
  std::vector<Address> servers;
  for (const std::string& text : texts) servers.push_back(*ParseAddress(text));
  return servers;
}

TEST(LookupsTest, AddressesAreSortedAndNotLookedUp) {
  Dns dns({});
  const auto target = [&](const std::vector<std::string>& servers) {
    return Lookups(Servers(servers), dns.resolver())
        .TargetAt(absl::InfiniteFuture() - absl::Seconds(1));
  };
  EXPECT_EQ(target({"10.0.0.2:1", "10.0.0.1:2"}), "ipv4:10.0.0.1:2,10.0.0.2:1");
  EXPECT_EQ(target({"[::1]:1", "10.0.0.1:2"}),
            "ipv6:%5B::ffff:10.0.0.1%5D:2,%5B::1%5D:1");
  EXPECT_EQ(dns.asked(), 0);
}

TEST(LookupsTest, NamesAreLookedUpAgainAndKeepWhatTheyHad) {
  Dns dns({{"a", {"10.0.0.2", "10.0.0.1"}}, {"b", {"10.0.0.3"}}});
  Lookups lookups(Servers({"a:1", "b:2"}), dns.resolver());
  const std::string first = "ipv4:10.0.0.1:1,10.0.0.2:1,10.0.0.3:2";
  EXPECT_EQ(lookups.Target(), first);
  EXPECT_EQ(dns.asked(), 2);
  dns.Set({{"b", {"10.0.0.9"}}});
  EXPECT_EQ(lookups.Target(), first);
  const std::string second = "ipv4:10.0.0.1:1,10.0.0.2:1,10.0.0.9:2";
  const absl::Time later = absl::Now() + absl::Seconds(31);
  EXPECT_THAT(lookups.TargetAt(later), AnyOf(first, second));
  while (lookups.Target() == first) std::this_thread::yield();
  EXPECT_EQ(lookups.Target(), second);
  EXPECT_EQ(dns.asked(), 4);
}

TEST(LookupsTest, OneUnknownNameIsLoggedOnce) {
  const auto started = grpc::InsecureChannelCredentials();  // and gRPC's log
  static std::vector<std::string> logged;
  logged.clear();
  gpr_set_log_function([](gpr_log_func_args* args) {
    if (absl::StrContains(args->message, "is not found"))
      logged.emplace_back(args->message);
  });
  Dns dns(Table{{"b", {"10.0.0.3"}}});
  std::thread thread;
  Lookups lookups(
      Servers({"a:1", "b:2"}), dns.resolver(),
      [&](std::function<void()> work) { thread = std::thread(work); });
  lookups.TargetAt(absl::Now() + absl::Seconds(60));
  thread.join();
  gpr_set_log_function(nullptr);
  EXPECT_EQ(dns.asked(), 4);
  EXPECT_THAT(logged, testing::ElementsAre("server a is not found: unknown"));
}

TEST(LookupsTest, WithoutAThreadNamesAreLookedUpLater) {
  Dns dns(Table{{"a", {"10.0.0.1"}}});
  int failures = 2;
  Lookups lookups(Servers({"a:1"}), dns.resolver(),
                  [&](std::function<void()> work) {
                    if (failures-- > 0)
                      throw std::system_error(EAGAIN, std::generic_category());
                    Lookups::StartThread(std::move(work));
                  });
  dns.Set({{"a", {"10.0.0.2"}}});
  absl::Time later = absl::Now() + absl::Seconds(31);
  for (int failed = 1; failed <= 2; ++failed) {
    EXPECT_EQ(lookups.TargetAt(later), "ipv4:10.0.0.1:1");
    EXPECT_EQ(failures, 2 - failed);
    // Not at every call, which would cost each of them.
    EXPECT_EQ(lookups.TargetAt(later), "ipv4:10.0.0.1:1");
    EXPECT_EQ(failures, 2 - failed);
    later += absl::Seconds(1);
  }
  lookups.TargetAt(later);
  while (lookups.Target() == "ipv4:10.0.0.1:1") std::this_thread::yield();
  EXPECT_EQ(lookups.Target(), "ipv4:10.0.0.2:1");
}

TEST(LookupsTest, WithoutAnyAddressGrpcIsGivenTheFirstName) {
  Dns dns({});
  Lookups lookups(Servers({"a:1", "b:2"}), dns.resolver());
  EXPECT_EQ(lookups.Target(), "dns:///a:1");
  dns.Set({{"b", {"10.0.0.3"}}});
  const absl::Time later = absl::Now() + absl::Seconds(2);
  while (lookups.TargetAt(later) == "dns:///a:1") std::this_thread::yield();
  EXPECT_EQ(lookups.Target(), "ipv4:10.0.0.3:2");
}

TEST(LookupsTest, TheCLibraryFindsThisHost) {
  const auto ips = Lookups::Resolve("localhost");
  ASSERT_TRUE(ips.ok()) << ips.status();
  EXPECT_THAT(*ips, testing::Contains(AnyOf("127.0.0.1", "::1")));
  EXPECT_TRUE(absl::IsUnavailable(Lookups::Resolve("nobody.invalid").status()));
}

}  // namespace
}  // namespace lossd::client
