#ifndef LOSSD_CLIENT_CLI_EXIT_CODE_H_
#define LOSSD_CLIENT_CLI_EXIT_CODE_H_

#include "absl/status/status.h"

namespace lossd::cli {

enum class ExitCode {
  kOk = 0,
  // The server said no, or did not answer.
  kCallFailed = 1,
  // The command line, or a file that it names, makes no sense.
  kUsage = 2,
};

// Prints "lossctl: MESSAGE", one line, and returns kUsage.
ExitCode ReportUsage(const absl::Status& status);

// Prints code and message, and when to retry if the server said so; returns
// kCallFailed.
ExitCode ReportCallFailure(const absl::Status& status);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_EXIT_CODE_H_
