#include "client/cpp/lookups.h"

#include <arpa/inet.h>
#include <grpc/support/log.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "base/steady_time.h"

namespace lossd::client {
namespace {

constexpr absl::Duration kAgain = absl::Seconds(30);
// While no name is known at all, or there was no thread.
constexpr absl::Duration kAgainSoon = absl::Seconds(1);

// An IP address and a port.
using Place = std::pair<std::string, int>;

bool IsIp(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  const std::string unscoped = host.substr(0, host.find('%'));
  return inet_pton(AF_INET, unscoped.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, unscoped.c_str(), bytes.data()) == 1;
}

bool IsIpv6(const std::string& ip) { return absl::StrContains(ip, ':'); }

// Under "ipv6:" an IPv4 address has its mapped form. The characters [, ] and %
// are escaped.
std::string Ipv6Text(const Place& place) {
  const auto& [ip, port] = place;
  return absl::StrCat("%5B", IsIpv6(ip) ? "" : "::ffff:",
                      absl::StrReplaceAll(ip, {{"%", "%25"}}), "%5D:", port);
}

std::string Joined(const std::set<Place>& places) {
  const bool ipv4 =
      std::none_of(places.begin(), places.end(),
                   [](const Place& place) { return IsIpv6(place.first); });
  if (ipv4)
    return absl::StrCat("ipv4:",
                        absl::StrJoin(places, ",", absl::PairFormatter(":")));
  return absl::StrCat(
      "ipv6:", absl::StrJoin(places, ",", [](std::string* out, const Place& p) {
        out->append(Ipv6Text(p));
      }));
}

}  // namespace

struct Lookups::State {
  State(std::vector<Address> servers, Resolver find, Warn tell)
      : listed(std::move(servers)),
        resolver(std::move(find)),
        warn(std::move(tell)) {
    for (const Address& server : listed) {
      has_names |= !IsIp(std::string(server.bare_host()));
    }
  }

  // Asks for every name and keeps what is found. One thread at a time.
  void LookUp() ABSL_LOCKS_EXCLUDED(mu) {
    std::set<Place> places;
    for (const Address& server : listed) {
      const std::string host(server.bare_host());
      if (IsIp(host)) {
        places.emplace(host, server.port);
        continue;
      }
      const absl::StatusOr<std::vector<std::string>> ips = resolver(host);
      if (ips.ok()) known[host] = *ips;
      NoteError(host, std::string(ips.status().message()));
      for (const std::string& ip : known[host]) places.emplace(ip, server.port);
    }
    absl::MutexLock lock(&mu);
    const bool any = !places.empty();
    target = any ? Joined(places) : absl::StrCat("dns:///", listed[0].text());
    again_at = !has_names ? absl::InfiniteFuture()
                          : SteadyNow() + (any ? kAgain : kAgainSoon);
    under_way = false;
  }

  // Other servers answer for one whose name is not found, so no call fails of
  // it: warns once of each `error`. An empty one is none.
  void NoteError(const std::string& host, std::string error) {
    std::string& last = errors[host];
    if (!error.empty() && error != last) {
      warn(absl::StrCat("server ", host, " is not found: ", error));
    }
    last = std::move(error);
  }

  // --- constant ---
  const std::vector<Address> listed;
  const Resolver resolver;
  const Warn warn;
  bool has_names = false;

  // The thread that looks names up alone uses these.
  absl::flat_hash_map<std::string, std::vector<std::string>> known;
  absl::flat_hash_map<std::string, std::string> errors;

  absl::Mutex mu;
  std::string target ABSL_GUARDED_BY(mu);
  absl::Time again_at ABSL_GUARDED_BY(mu) = absl::InfinitePast();
  bool under_way ABSL_GUARDED_BY(mu) = false;
};

absl::StatusOr<std::vector<std::string>> Lookups::Resolve(
    const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  std::vector<std::string> ips;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    std::array<char, NI_MAXHOST> text;
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(),
                    nullptr, 0, NI_NUMERICHOST) == 0) {
      ips.emplace_back(text.data());
    }
  }
  freeaddrinfo(found);
  return ips;
}

void Lookups::StartThread(std::function<void()> work) {
  // The C library limits how long a lookup takes, and nobody waits for it.
  std::thread(std::move(work)).detach();
}

void Lookups::Log(const std::string& warning) {
  gpr_log(GPR_ERROR, "%s", warning.c_str());
}

Lookups::Lookups(std::vector<Address> listed, Resolver resolver, Starter start,
                 Warn warn)
    : start_(std::move(start)),
      state_(std::make_shared<State>(std::move(listed), std::move(resolver),
                                     std::move(warn))) {
  state_->LookUp();
}

std::string Lookups::Target() { return TargetAt(SteadyNow()); }

std::string Lookups::TargetAt(absl::Time now) {
  absl::MutexLock lock(&state_->mu);
  if (now < state_->again_at || state_->under_way) return state_->target;
  try {
    start_([state = state_] { state->LookUp(); });
    state_->under_way = true;
  } catch (const std::system_error&) {  // the process has too many threads
    state_->again_at = now + kAgainSoon;
  }
  return state_->target;
}

}  // namespace lossd::client
