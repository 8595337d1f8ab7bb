// lossctl: one request to a lossd server from a terminal or a script.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/flag_parser.h"
#include "base/version.h"
#include "client/cli/compute_command.h"
#include "client/cli/connection_flags.h"
#include "client/cli/exit_code.h"
#include "client/cli/watch_command.h"

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
    "lossctl --version\n"
    "\n"
    "Exit codes: 0 done, 1 the call failed, 2 bad flags or files.\n"
    "The value after = below is the default.\n"
    "\n";
// clang-format on

ExitCode RunInfo(const ComputeFlags& flags) {
  const auto client = MakeClient(flags.connection);
  if (!client.ok()) return ReportUsage(client.status());
  const auto info = (*client)->GetServerInfo(MakeCallOptions(flags.connection));
  if (!info.ok()) return ReportCallFailure(info.status());
  std::string text;
  if (flags.output.json) {
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = true;
    options.always_print_primitive_fields = true;
    const auto printed =
        google::protobuf::util::MessageToJsonString(*info, &text, options);
    if (!printed.ok()) {
      return ReportCallFailure(absl::InternalError(printed.ToString()));
    }
  } else {
    text = info->DebugString();
  }
  std::fputs(text.c_str(), stdout);
  return ExitCode::kOk;
}

ExitCode RunHealth(const ComputeFlags& flags, const std::string& service) {
  const auto client = MakeClient(flags.connection);
  if (!client.ok()) return ReportUsage(client.status());
  const absl::Status health =
      (*client)->CheckHealth(service, MakeCallOptions(flags.connection));
  if (!health.ok()) return ReportCallFailure(health);
  std::puts(flags.output.json ? "{\"serving\": true}" : "serving");
  return ExitCode::kOk;
}

// The values of all flags.
struct Flags {
  ComputeFlags compute;
  WatchFlags watch;
  bool help = false;
  bool version = false;
};

FlagTable TableOf(Flags& flags) {
  return {
      SpecRows(flags.compute.spec),
      TensorRows(flags.compute.tensors),
      ConnectionRows(flags.compute.connection),
      OutputRows(flags.compute.output),
      WatchRows(flags.watch),
      {"Other",
       {{"help", AnyValue(&flags.help), "print this and exit"},
        {"version", AnyValue(&flags.version), "print the version and exit"}}}};
}

struct Command {
  const char* name;
  // Names the one word that may follow; null if none may.
  const char* operand;
  // `word` is the operand; empty if none was given.
  ExitCode (*run)(const Flags& flags, const std::string& word);
};

constexpr std::array kCommands = {
    Command{"compute", nullptr,
            [](const Flags& flags, const std::string&) {
              return RunCompute(flags.compute);
            }},
    Command{"info", nullptr,
            [](const Flags& flags, const std::string&) {
              return RunInfo(flags.compute);
            }},
    Command{"health", "SERVICE",
            [](const Flags& flags, const std::string& word) {
              return RunHealth(flags.compute, word);
            }},
    Command{"watch", "HOST:PORT",
            [](const Flags& flags, const std::string& word) {
              return RunWatch(
                  flags.watch, word.empty() ? "localhost:9464" : word,
                  flags.compute.connection.timeout, flags.compute.output.json);
            }},
};

// Returns the command that `name` names. INVALID_ARGUMENT if none has the name.
absl::StatusOr<Command> FindCommand(const std::string& name) {
  std::string names;
  for (const Command& command : kCommands) {
    if (name == command.name) return command;
    absl::StrAppend(&names, names.empty() ? "" : ", ", command.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" is none of ", names, "; see --help"));
}

// Checks that no more words follow the command than it takes.
absl::Status CheckOperands(const Command& command,
                           const std::vector<std::string>& words) {
  const size_t most = command.operand == nullptr ? 1 : 2;
  if (words.size() <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "unexpected argument \"", words[most], "\": ", command.name, " takes ",
      command.operand == nullptr ? "flags alone"
                                 : absl::StrCat("one ", command.operand),
      "; see --help"));
}

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
