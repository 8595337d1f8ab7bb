#include "server/door/metadata_name.h"

#include <algorithm>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace lossd::door {
namespace {

absl::Status Wrong(const NameRule& rule, const absl::AlphaNum& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("metadata ", rule.key, ": ", what));
}

absl::Status CheckName(absl::string_view name, const NameRule& rule) {
  if (name.empty() || name.size() > rule.max_bytes) {
    return Wrong(rule, absl::StrCat("a name has 1 to ", rule.max_bytes,
                                    " bytes, and this one has ", name.size()));
  }
  const auto bad =
      std::find_if_not(name.begin(), name.end(),
                       [](unsigned char c) { return absl::ascii_isprint(c); });
  if (bad == name.end()) return absl::OkStatus();
  return Wrong(rule, absl::StrCat("byte ", bad - name.begin(),
                                  " is not a printable character of ASCII"));
}

}  // namespace

absl::StatusOr<std::string> NameIn(const grpc::ServerContext& context,
                                   const NameRule& rule) {
  const auto [first, end] = context.client_metadata().equal_range(rule.key);
  if (first == end) return std::string();
  if (const auto count = std::distance(first, end); count > 1) {
    return Wrong(rule,
                 absl::StrCat("is there ", count, " times; ", rule.why_one));
  }
  const std::string name(first->second.data(), first->second.size());
  if (absl::Status status = CheckName(name, rule); !status.ok()) return status;
  return name;
}

}  // namespace lossd::door
