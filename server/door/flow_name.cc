#include "server/door/flow_name.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "server/door/metadata_name.h"

namespace lossd::door {

absl::StatusOr<NamedFlow> NamedFlowOf(const grpc::ServerContext& context) {
  absl::StatusOr<std::string> name = NameIn(
      context,
      {.key = kFlowKey,
       .max_bytes = kMaxFlowNameBytes,
       .why_one = "a proxy has to replace what it receives, not to add to it"});
  if (!name.ok()) return name.status();
  if (name->empty()) return NamedFlow();
  const uint64_t flow =
      absl::HashOf(absl::string_view("flow"), absl::string_view(*name));
  return NamedFlow{.name = *std::move(name), .flow = flow};
}

}  // namespace lossd::door
