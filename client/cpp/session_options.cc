#include "client/cpp/session_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lossd::client {

absl::Status CheckSessionOptions(const SessionOptions& options) {
  const struct {
    absl::string_view name;
    int64_t value;
  } bounds[] = {
      {"max_unanswered", options.max_unanswered},
      {"max_unanswered_bytes", options.max_unanswered_bytes},
      {"max_waiting", options.max_waiting},
      {"max_message_entries", options.max_message_entries},
      {"max_message_bytes", options.max_message_bytes},
      {"own_call_above_bytes", options.own_call_above_bytes},
  };
  for (const auto& [name, value] : bounds) {
    if (value < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": ", value, ", must be at least 1"));
    }
  }
  return absl::OkStatus();
}

}  // namespace lossd::client
