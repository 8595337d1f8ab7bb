#ifndef LOSSD_CLIENT_CLI_CONNECTION_FLAGS_H_
#define LOSSD_CLIENT_CLI_CONNECTION_FLAGS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "client/cpp/client.h"

namespace lossd::cli {

// A client as --target, --tls*, --token_file ask for it. An error is a mistake
// in the flags or in a file that they name.
absl::StatusOr<std::unique_ptr<client::Client>> ClientFromFlags();

// With the deadline that --timeout sets, counted from now.
client::CallOptions CallOptionsFromFlags();

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_CONNECTION_FLAGS_H_
