// The name that a client gives its training job.
#ifndef LOSSD_SERVER_DOOR_JOB_NAME_H_
#define LOSSD_SERVER_DOOR_JOB_NAME_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace lossd::door {

// The metadata that names a job (D93).
inline constexpr char kJobKey[] = "lossd-job";
// A name is a label in the metrics and a line of tables.
inline constexpr size_t kMaxJobNameBytes = 64;

// Returns the job that the call's metadata names, or an empty text. Errors:
// INVALID_ARGUMENT if there are several names, or if the name is empty, longer
// than kMaxJobNameBytes, or not printable ASCII. Thread-safe.
absl::StatusOr<std::string> JobNameOf(const grpc::ServerContext& context);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_JOB_NAME_H_
