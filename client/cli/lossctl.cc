// lossctl: one request to a lossd server from a terminal or a script.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "base/flag_parser.h"
#include "client/cli/compute_command.h"
#include "client/cli/connection_flags.h"
#include "client/cli/exit_code.h"
#include "google/protobuf/util/json_util.h"

ABSL_FLAG(bool, json, false, "print JSON instead of a table");
ABSL_FLAG(bool, help, false, "print this and exit");

namespace lossd::cli {
namespace {

constexpr char kUsage[] =
    "lossctl [compute] --logits=0.5,-1 --targets=1,0   one loss, and "
    "statistics "
    "of its gradient\n"
    "lossctl [compute] --logits=0.5,-1 --targets=1,0 --print_gradient\n"
    "lossctl [compute] --logits=x.npy --targets=t.npy --gradient_out=g.npy\n"
    "lossctl [compute] --request=request.json\n"
    "lossctl info                                      what the server is\n"
    "lossctl health [SERVICE]                          is it serving?\n"
    "\n"
    "Exit codes: 0 done, 1 the call failed, 2 bad flags or files.\n"
    "\n";

ExitCode RunInfo() {
  const auto client = ClientFromFlags();
  if (!client.ok()) return ReportUsage(client.status());
  const auto info = (*client)->GetServerInfo(CallOptionsFromFlags());
  if (!info.ok()) return ReportCallFailure(info.status());
  std::string text;
  if (absl::GetFlag(FLAGS_json)) {
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

ExitCode RunHealth(const std::string& service) {
  const auto client = ClientFromFlags();
  if (!client.ok()) return ReportUsage(client.status());
  const absl::Status health =
      (*client)->CheckHealth(service, CallOptionsFromFlags());
  if (!health.ok()) return ReportCallFailure(health);
  std::puts(absl::GetFlag(FLAGS_json) ? "{\"serving\": true}" : "serving");
  return ExitCode::kOk;
}

ExitCode Run(std::span<const char* const> arguments) {
  const absl::StatusOr<std::vector<std::string>> words = ParseFlags(arguments);
  if (!words.ok()) return ReportUsage(words.status());
  const std::string command = words->empty() ? "compute" : words->front();
  if (absl::GetFlag(FLAGS_help) || command == "help" || command == "-h") {
    std::fputs(absl::StrCat(kUsage, DescribeFlags()).c_str(), stdout);
    return ExitCode::kOk;
  }
  if (command == "health" && words->size() <= 2) {
    return RunHealth(words->size() == 2 ? words->back() : "");
  }
  if (words->size() > 1) {
    return ReportUsage(absl::InvalidArgumentError(
        absl::StrCat("\"", words->back(), "\" is one word too many")));
  }
  if (command == "compute") return RunCompute();
  if (command == "info") return RunInfo();
  return ReportUsage(absl::InvalidArgumentError(absl::StrCat(
      "\"", command, "\" is none of compute, info, health; see --help")));
}

// A script must learn that what it reads is not all there is.
ExitCode Flush(ExitCode code) {
  if (std::fflush(stdout) == 0) return code;
  return ReportUsage(absl::InvalidArgumentError(absl::StrCat(
      "standard output: cannot be written: ", std::strerror(errno))));
}

}  // namespace
}  // namespace lossd::cli

int main(int argc, char** argv) {
  // An error is one line of ours; who wants gRPC's own log too sets this.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return static_cast<int>(lossd::cli::Flush(lossd::cli::Run(
      std::span<const char* const>(argv, static_cast<size_t>(argc))
          .subspan(argc > 0 ? 1 : 0))));
}
