#include "server/observability/log_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lossd::observability {
namespace {

std::string Timestamp(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

bool IsControl(char c) {
  return absl::ascii_iscntrl(static_cast<unsigned char>(c));
}

// The distribution's absl::string_view is not std::string_view.
std::string Escaped(std::string_view text) {
  return absl::Utf8SafeCEscape({text.data(), text.size()});
}

}  // namespace

std::string TextLine(const LogEntry& entry) {
  // Only if need be: messages of ours are full of quotes, which would be
  // escaped too.
  const bool escape = std::ranges::any_of(entry.message, IsControl);
  std::string line = absl::StrCat(
      Timestamp(entry.time), " ", std::string(entry.level), " ",
      escape ? Escaped(entry.message) : std::string(entry.message));
  if (!entry.request_id.empty()) {
    absl::StrAppend(&line, " request_id=\"", Escaped(entry.request_id), "\"");
  }
  return line;
}

std::string JsonLine(const LogEntry& entry) {
  nlohmann::ordered_json object = {{"time", Timestamp(entry.time)},
                                   {"level", entry.level},
                                   {"message", entry.message}};
  if (!entry.request_id.empty()) object["request_id"] = entry.request_id;
  constexpr auto replace = nlohmann::ordered_json::error_handler_t::replace;
  return object.dump(/*indent=*/-1, /*indent_char=*/' ', /*ensure_ascii=*/false,
                     replace);
}

}  // namespace lossd::observability
