#ifndef LOSSD_CLIENT_CLI_COMPUTE_COMMAND_H_
#define LOSSD_CLIENT_CLI_COMPUTE_COMMAND_H_

#include "client/cli/exit_code.h"

namespace lossd::cli {

// lossctl compute: one loss, from flags, .npy files or JSON, printed.
ExitCode RunCompute();

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_COMPUTE_COMMAND_H_
