// The servers that the target of a client names.
#ifndef LOSSD_CLIENT_CPP_SERVERS_H_
#define LOSSD_CLIENT_CPP_SERVERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/address.h"

namespace lossd::client {

struct Servers {
  // As written, which is what gRPC takes unless `listed` has servers.
  std::string text;
  // The servers of a list: HOST:PORT,HOST:PORT.
  std::vector<Address> listed = {};
  // True if gRPC may find more than one server: for a list, dns:, and several
  // addresses of ipv4: or ipv6:.
  bool several = false;
};

// Reads a target: HOST:PORT, unix:/path, SCHEME:ADDRESS, or a list of HOST:PORT
// with commas. Errors: INVALID_ARGUMENT, beginning with "target: ".
absl::StatusOr<Servers> ParseServers(absl::string_view target);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SERVERS_H_
