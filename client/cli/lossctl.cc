// lossctl: one request to a lossd server from a terminal or a script.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/flag_parser.h"
#include "base/version.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"

namespace lossd::cli {
namespace {

// clang-format off
constexpr char kUsage[] =
    "lossctl: asks a lossd server for a sigmoid loss and its gradient.\n"
    "\n"
    "lossctl [compute] --logits=0.5,-1 --targets=1,0   one loss, and statistics of its gradient\n"
    "lossctl [compute] --logits=0.5,-1 --targets=1,0 --print_gradient\n"
    "lossctl [compute] --logits=x.npy --targets=t.npy --gradient_out=g.npy\n"
    "lossctl [compute] --request=request.json\n"
    "lossctl info                                      what the server is\n"
    "lossctl health [SERVICE]                          is it serving?\n"
    "lossctl watch [HOST:PORT]                         what the server at this metrics address does\n"
    "lossctl completion bash|zsh|fish                  a script that completes lossctl's words in a shell\n"
    "lossctl --version\n"
    "\n"
    "Exit codes: 0 done, 1 the call failed, 2 bad flags or files.\n"
    "The value after = below is the default.\n"
    "\n";
// clang-format on

ExitCode Run(const std::vector<std::string>& arguments) {
  Flags flags;
  const FlagTable table = TableOf(flags);
  const auto words = ParseFlags(table, arguments);
  if (!words.ok()) return ReportUsage(words.status());
  const std::string name = words->empty() ? "compute" : words->front();
  if (flags.help || name == "help") {
    std::fputs(absl::StrCat(kUsage, DescribeFlags(table)).c_str(), stdout);
    return ExitCode::kOk;
  }
  if (flags.version) {
    std::puts(absl::StrCat("lossctl ", kVersion).c_str());
    return ExitCode::kOk;
  }
  const absl::StatusOr<Command> command = FindCommand(name);
  if (!command.ok()) return ReportUsage(command.status());
  for (const absl::Status& status :
       {CheckOperands(*command, *words), CheckValues(table)}) {
    if (!status.ok()) return ReportUsage(status);
  }
  return command->run(flags, words->size() == 2 ? words->back() : "");
}

// Tells a script whether it has read all that there is. A long text may have
// failed before the flush, which then has nothing left to write.
ExitCode Flush(ExitCode code) {
  const bool failed = std::ferror(stdout) != 0;
  if (std::fflush(stdout) == 0 && !failed) return code;
  return ReportUsage(absl::InvalidArgumentError(absl::StrCat(
      "standard output: cannot be written: ", std::strerror(errno))));
}

}  // namespace
}  // namespace lossd::cli

int main(int argc, char** argv) {
  // An error is one line of ours; setting this variable adds gRPC's own log.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return static_cast<int>(lossd::cli::Flush(
      lossd::cli::Run({argv + std::min(argc, 1), argv + argc})));
}
