#include "client/cli/flag_range.h"

#include "absl/strings/str_cat.h"

namespace lossd::cli {

absl::Status CheckRanges(std::initializer_list<FlagRange> ranges) {
  for (const auto& [flag, value, least, most] : ranges) {
    if (value >= least && value <= most) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag, "=", value, ": must be in [", least, ", ", most, "]"));
  }
  return absl::OkStatus();
}

}  // namespace lossd::cli
