#include "client/cli/exit_code.h"

#include <cstdio>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/cpp/call_status.h"

namespace lossd::cli {
namespace {

// Returns the text with its control characters written as \xNN and \u00NN. A
// name in a file, or the message of a server, must not make a line of its own
// or steer the terminal.
std::string Printable(absl::string_view text) {
  std::string printable;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next =
        static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F
      absl::StrAppendFormat(&printable, "\\u%04x", next);
      ++i;
    } else if (absl::ascii_iscntrl(byte)) {
      absl::StrAppendFormat(&printable, "\\x%02x", byte);
    } else {
      printable.push_back(text[i]);
    }
  }
  return printable;
}

void PrintError(const std::string& line) {
  std::fputs(absl::StrCat("lossctl: ", Printable(line), "\n").c_str(), stderr);
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
