#include "client/cli/exit_code.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cpp/call_status.h"

namespace lossd::cli {
namespace {

void PrintError(const std::string& line) {
  std::fputs(absl::StrCat("lossctl: ", line, "\n").c_str(), stderr);
}

}  // namespace

ExitCode ReportUsage(const absl::Status& status) {
  PrintError(std::string(status.message()));
  return ExitCode::kUsage;
}

ExitCode ReportCallFailure(const absl::Status& status) {
  std::string line = absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                                  status.message());
  if (const auto delay = client::RetryAfter(status)) {
    absl::StrAppend(&line, " (retry after ", absl::FormatDuration(*delay), ")");
  }
  PrintError(line);
  return ExitCode::kCallFailed;
}

}  // namespace lossd::cli
