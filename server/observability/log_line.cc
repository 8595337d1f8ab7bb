#include "server/observability/log_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lossd::observability {
namespace {

bool IsControl(char c) {
  return absl::ascii_iscntrl(static_cast<unsigned char>(c));
}

// The distribution's absl::string_view is not std::string_view.
std::string Escaped(std::string_view text) {
  return absl::Utf8SafeCEscape({text.data(), text.size()});
}

}  // namespace

std::string TextOf(std::string_view message, std::string_view request_id) {
  // Our own messages are full of quotes, which escaping would make hard to
  // read, so a message is escaped only if it has a control character.
  const bool escape = std::ranges::any_of(message, IsControl);
  std::string line = escape ? Escaped(message) : std::string(message);
  if (!request_id.empty()) {
    absl::StrAppend(&line, " request_id=\"", Escaped(request_id), "\"");
  }
  return line;
}

std::string JsonMembersOf(std::string_view message,
                          std::string_view request_id) {
  nlohmann::ordered_json object = {{"message", message}};
  if (!request_id.empty()) object["request_id"] = request_id;
  constexpr auto replace = nlohmann::ordered_json::error_handler_t::replace;
  const std::string text = object.dump(/*indent=*/-1, /*indent_char=*/' ',
                                       /*ensure_ascii=*/false, replace);
  return text.substr(1, text.size() - 2);  // without the braces
}

}  // namespace lossd::observability
