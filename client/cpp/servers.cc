#include "client/cpp/servers.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lossd::client {
namespace {

absl::Status Bad(absl::string_view target, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("target: \"", target, "\" ", why));
}

bool HasScheme(absl::string_view target) {
  constexpr absl::string_view kSchemes[] = {
      "unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:", "vsock:"};
  for (const absl::string_view scheme : kSchemes) {
    if (absl::StartsWith(target, scheme)) return true;
  }
  return false;
}

bool MayBeSeveral(absl::string_view target) {
  if (absl::StartsWith(target, "dns:")) return true;
  const bool addresses =
      absl::StartsWith(target, "ipv4:") || absl::StartsWith(target, "ipv6:");
  return addresses && absl::StrContains(target, ',');
}

// Checks that a target dns:[//SERVER/]NAME:PORT has a name and a port, for
// which gRPC would take 443.
absl::Status CheckName(absl::string_view target) {
  absl::string_view name = absl::StripPrefix(target, "dns:");
  if (absl::ConsumePrefix(&name, "//")) {
    name.remove_prefix(std::min(name.find('/'), name.size()));
  }
  absl::ConsumePrefix(&name, "/");
  if (ParseAddress(name).has_value()) return absl::OkStatus();
  return Bad(target, "must be dns:///NAME:PORT");
}

absl::StatusOr<std::vector<Address>> ParseList(absl::string_view target) {
  std::vector<Address> listed;
  absl::flat_hash_set<std::string> seen;
  for (absl::string_view part : absl::StrSplit(target, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (HasScheme(part)) {
      return Bad(part, "in a list of servers; give HOST:PORT of each");
    }
    std::optional<Address> address = ParseAddress(part);
    if (!address.has_value() || address->port == 0) {
      return Bad(part, "in a list of servers must be HOST:PORT or [IPv6]:PORT");
    }
    if (!seen.insert(absl::AsciiStrToLower(part)).second) {
      return Bad(part, "is given twice");
    }
    listed.push_back(*std::move(address));
  }
  return listed;
}

}  // namespace

absl::StatusOr<Servers> ParseServers(absl::string_view target) {
  if (target.empty()) {
    return absl::InvalidArgumentError("target: must not be empty");
  }
  if (HasScheme(target)) {
    if (absl::StartsWith(target, "dns:")) {
      if (absl::Status s = CheckName(target); !s.ok()) return s;
    }
    return Servers{.text = std::string(target),
                   .several = MayBeSeveral(target)};
  }
  if (absl::StrContains(target, ',')) {
    absl::StatusOr<std::vector<Address>> listed = ParseList(target);
    if (!listed.ok()) return listed.status();
    return Servers{.text = std::string(target),
                   .listed = *std::move(listed),
                   .several = true};
  }
  // gRPC takes 443 for a missing port, and a URL for a host name.
  if (ParseAddress(target).has_value()) return Servers{std::string(target)};
  return Bad(target, "must be HOST:PORT, [IPv6]:PORT or unix:/path");
}

}  // namespace lossd::client
