#include "server/door/job_name.h"

#include "server/door/metadata_name.h"

namespace lossd::door {

absl::StatusOr<std::string> JobNameOf(const grpc::ServerContext& context) {
  return NameIn(context, {.key = kJobKey,
                          .max_bytes = kMaxJobNameBytes,
                          .why_one = "a call belongs to one job"});
}

}  // namespace lossd::door
