// lossctl: one request to a lossd server from a terminal or a script.
#include <google/protobuf/util/json_util.h>

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
#include "client/cli/compute_command.h"
#include "client/cli/connection_flags.h"
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

// `words` are a command and more words than it takes.
absl::Status TooManyArguments(const std::vector<std::string>& words) {
  const bool is_health = words.front() == "health";
  return absl::InvalidArgumentError(absl::StrCat(
      "unexpected argument \"", words[is_health ? 2 : 1], "\": ", words.front(),
      " takes ", is_health ? "one SERVICE" : "flags alone", "; see --help"));
}

ExitCode Run(const std::vector<std::string>& arguments) {
  ComputeFlags flags;
  bool help = false;
  bool version = false;
  const FlagTable table = {
      SpecRows(flags.spec),
      TensorRows(flags.tensors),
      ConnectionRows(flags.connection),
      OutputRows(flags.output),
      {"Other",
       {{"help", AnyValue(&help), "print this and exit"},
        {"version", AnyValue(&version), "print the version and exit"}}}};
  const auto words = ParseFlags(table, arguments);
  if (!words.ok()) return ReportUsage(words.status());
  const std::string command = words->empty() ? "compute" : words->front();
  if (help || command == "help") {
    std::fputs(absl::StrCat(kUsage, DescribeFlags(table)).c_str(), stdout);
    return ExitCode::kOk;
  }
  if (version) {
    std::puts(absl::StrCat("lossctl ", kVersion).c_str());
    return ExitCode::kOk;
  }
  if (command == "health" && words->size() <= 2) {
    return RunHealth(flags, words->size() == 2 ? words->back() : "");
  }
  if (words->size() > 1) {
    return ReportUsage(TooManyArguments(*words));
  }
  if (command == "compute") return RunCompute(flags);
  if (command == "info") return RunInfo(flags);
  return ReportUsage(absl::InvalidArgumentError(absl::StrCat(
      "\"", command, "\" is none of compute, info, health; see --help")));
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
