// lossctl watch: what a server does, as it does it.
#ifndef LOSSD_CLIENT_CLI_WATCH_COMMAND_H_
#define LOSSD_CLIENT_CLI_WATCH_COMMAND_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "base/flag_table.h"
#include "client/cli/connection_flags.h"
#include "client/cli/exit_code.h"

namespace lossd::cli {

struct WatchFlags {
  absl::Duration interval = absl::Seconds(1);
  int64_t count = 0;
};

// Returns the rows of `flags`, which are borrowed.
FlagGroup WatchRows(WatchFlags& flags);

// Watches the server whose metrics are at `address`, HOST:PORT: on the
// terminal, or in lines where there is none, or in lines of JSON. Of
// `connection`, the timeout bounds each reading of the metrics, and the token
// is sent with it. Errors are printed.
ExitCode RunWatch(const WatchFlags& flags, const std::string& address,
                  const ConnectionFlags& connection, bool json);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_WATCH_COMMAND_H_
