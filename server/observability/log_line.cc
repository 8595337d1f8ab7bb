#include "server/observability/log_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "server/base/utf8.h"

namespace lossd::observability {
namespace {

using Json = nlohmann::ordered_json;
using Replacements = std::vector<std::pair<std::string, std::string>>;

// Returns the escapes of the characters that JSON allows, but that end a line
// or steer a terminal: DEL, U+0080 to U+009F, U+2028 and U+2029.
Replacements SteeringCharacters() {
  Replacements all = {{"\x7f", "\\u007f"},
                      {"\xe2\x80\xa8", "\\u2028"},
                      {"\xe2\x80\xa9", "\\u2029"}};
  for (int code = 0x80; code < 0xa0; ++code) {
    all.push_back(
        {{'\xc2', static_cast<char>(code)}, absl::StrFormat("\\u%04x", code)});
  }
  return all;
}

// Returns JSON on one line without any control character.
std::string Dump(const Json& json) {
  static const Replacements& steering = *new Replacements(SteeringCharacters());
  const std::string text =
      json.dump(/*indent=*/-1, /*indent_char=*/' ',
                /*ensure_ascii=*/false, Json::error_handler_t::replace);
  return absl::StrReplaceAll(text, steering);
}

// Returns the escaped message without quotes around it. Our own messages are
// full of quotes, which stay as they are, because escaped ones are hard to
// read.
std::string Unquoted(std::string_view message) {
  const std::string quoted = Dump(message);
  return absl::StrReplaceAll(quoted.substr(1, quoted.size() - 2),
                             {{"\\\"", "\""}});
}

std::string Shortened(const std::string& id) {
  constexpr size_t kMaxBytes = 4 * kMaxRequestIdCharacters;  // of UTF-8
  size_t characters = 0;
  for (size_t i = 0; i < id.size(); ++i) {
    if (BeginsCharacter(id[i])) ++characters;
    if (characters > kMaxRequestIdCharacters || i >= kMaxBytes) {
      return id.substr(0, i) + "...";
    }
  }
  return id;
}

// Returns the field's value as JSON, or null if it is left out.
Json ValueOf(const LogField& field) {
  const auto* text = std::get_if<std::string>(&field.value);
  if (text == nullptr) {
    return std::visit([](const auto& value) { return Json(value); },
                      field.value);
  }
  if (text->empty()) return nullptr;
  return field.name == "request_id" ? Shortened(*text) : *text;
}

}  // namespace

std::string TextOf(std::string_view message, const LogFields& fields) {
  std::string line = Unquoted(message);
  for (const LogField& field : fields) {
    const Json value = ValueOf(field);
    if (value.is_null()) continue;
    line.append(" ").append(field.name).append("=").append(Dump(value));
  }
  return line;
}

std::string JsonMembersOf(std::string_view message, const LogFields& fields) {
  Json object = {{"message", message}};
  for (const LogField& field : fields) {
    Json value = ValueOf(field);
    if (!value.is_null()) object[std::string(field.name)] = std::move(value);
  }
  const std::string text = Dump(object);
  return text.substr(1, text.size() - 2);  // without the braces
}

}  // namespace lossd::observability
