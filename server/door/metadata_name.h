// Reads a name from the metadata of a call.
#ifndef LOSSD_SERVER_DOOR_METADATA_NAME_H_
#define LOSSD_SERVER_DOOR_METADATA_NAME_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lossd::door {

// How a call may name something.
struct NameRule {
  const char* key;  // of the metadata
  size_t max_bytes;
  absl::string_view why_one;  // what to do about several names, after "; "
};

// Returns the name, or an empty text if the call has none. Errors:
// INVALID_ARGUMENT if there are several names, or if the name is empty, longer
// than allowed, or not printable ASCII. Thread-safe.
absl::StatusOr<std::string> NameIn(const grpc::ServerContext& context,
                                   const NameRule& rule);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_METADATA_NAME_H_
