#include "client/cli/watch/plain_lines.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/watch/activity_text.h"

namespace lossd::cli::watch {
namespace {

void Print(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

}  // namespace

void PlainLines::Show(const Activity& activity) {
  Print(ActivityLine(activity));
}

void PlainLines::ShowAbsence(absl::Time time, const absl::Status& status) {
  Print(absl::StrCat(absl::FormatTime("%H:%M:%S", time, absl::LocalTimeZone()),
                     " away  ", status.message()));
}

}  // namespace lossd::cli::watch
