#include "client/cpp/session_options.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lossd::client {
namespace {

// A message of more entries ends the stream, as loss_service.proto says.
constexpr int64_t kMostEntries = 16384;

}  // namespace

absl::Status CheckSessionOptions(const SessionOptions& options) {
  constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
  const struct {
    absl::string_view name;
    int64_t value;
    int64_t most = kUnbounded;
  } bounds[] = {
      {"max_unanswered", options.max_unanswered},
      {"max_unanswered_bytes", options.max_unanswered_bytes},
      {"max_waiting", options.max_waiting},
      {"max_message_entries", options.max_message_entries, kMostEntries},
      {"max_message_bytes", options.max_message_bytes},
      {"own_call_above_bytes", options.own_call_above_bytes},
  };
  for (const auto& [name, value, most] : bounds) {
    if (value < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": ", value, ", must be at least 1"));
    }
    if (value > most) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": ", value, ", must be at most ", most));
    }
  }
  if (options.greeting_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "greeting_timeout: ", absl::FormatDuration(options.greeting_timeout),
        ", must be above 0"));
  }
  return absl::OkStatus();
}

}  // namespace lossd::client
