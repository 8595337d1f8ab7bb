#include "server/door/flow_name.h"

#include <algorithm>
#include <iterator>

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/base/status_macros.h"

namespace lossd::door {
namespace {

absl::Status Wrong(const absl::AlphaNum& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("metadata ", kFlowKey, ": ", what));
}

absl::Status CheckName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxFlowNameBytes) {
    return Wrong(absl::StrCat("a name has 1 to ", kMaxFlowNameBytes,
                              " bytes, and this one has ", name.size()));
  }
  const auto bad =
      std::find_if_not(name.begin(), name.end(),
                       [](unsigned char c) { return absl::ascii_isprint(c); });
  if (bad == name.end()) return absl::OkStatus();
  return Wrong(absl::StrCat("byte ", bad - name.begin(),
                            " is not a printable character of ASCII"));
}

}  // namespace

absl::StatusOr<NamedFlow> NamedFlowOf(const grpc::ServerContext& context) {
  const auto [first, end] = context.client_metadata().equal_range(kFlowKey);
  if (first == end) return NamedFlow();
  if (const auto count = std::distance(first, end); count > 1) {
    return Wrong(absl::StrCat("is there ", count,
                              " times; a proxy has to replace what it "
                              "receives, not to add to it"));
  }
  const absl::string_view name(first->second.data(), first->second.size());
  RETURN_IF_ERROR(CheckName(name));
  return NamedFlow{
      .name = std::string(name),
      .flow = absl::HashOf(absl::string_view("flow"), name),
  };
}

}  // namespace lossd::door
