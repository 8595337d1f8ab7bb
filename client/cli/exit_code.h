// Exit codes of lossctl, and the error lines that go with them.
#ifndef LOSSD_CLIENT_CLI_EXIT_CODE_H_
#define LOSSD_CLIENT_CLI_EXIT_CODE_H_

#include "absl/status/status.h"

namespace lossd::cli {

enum class ExitCode {
  kOk = 0,
  // The server refused the call or did not answer.
  kCallFailed = 1,
  // The command line, or a file that it names, is wrong.
  kUsage = 2,
};

// Prints "lossctl: MESSAGE", one line, and returns kUsage.
ExitCode ReportUsage(const absl::Status& status);

// Prints code and message, and the retry delay if the server gave one, in one
// line, and returns kCallFailed.
ExitCode ReportCallFailure(const absl::Status& status);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_EXIT_CODE_H_
