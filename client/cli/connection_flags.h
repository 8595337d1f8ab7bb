// The flags that say how to reach a server.
#ifndef LOSSD_CLIENT_CLI_CONNECTION_FLAGS_H_
#define LOSSD_CLIENT_CLI_CONNECTION_FLAGS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/flag_table.h"
#include "client/cpp/client.h"

namespace lossd::cli {

struct ConnectionFlags {
  std::string target = "localhost:50051";
  bool tls = false;
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  std::string token_file;
  std::string traceparent;
  std::string job;
  absl::Duration timeout = absl::Seconds(30);
};

// Returns the rows of `flags`, which are borrowed.
FlagGroup ConnectionRows(ConnectionFlags& flags);

// Returns the row of --timeout, which is also one of ConnectionRows().
Flag TimeoutRow(ConnectionFlags& flags);

// Returns the row of --token_file, which is also one of ConnectionRows().
Flag TokenRow(ConnectionFlags& flags);

// Returns the token in the file that --token_file names, or an empty string
// without one. INVALID_ARGUMENT if the file cannot be read.
absl::StatusOr<std::string> ReadToken(const ConnectionFlags& flags);

// Returns a client for the server that the flags name. `options` are what no
// flag here says. INVALID_ARGUMENT for a mistake in the flags or in a file that
// they name.
absl::StatusOr<std::unique_ptr<client::Client>> MakeClient(
    const ConnectionFlags& flags, client::ClientOptions options = {});

// Returns options with the traceparent, and with the deadline that --timeout
// sets, counted from now.
client::CallOptions MakeCallOptions(const ConnectionFlags& flags);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_CONNECTION_FLAGS_H_
