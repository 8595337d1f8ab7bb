// The form of a line of the log: a pattern for spdlog, and the text that takes
// the place of %v in it.
#ifndef LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_
#define LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lossd::observability {

// Both patterns have times in UTC.
//
// 2026-11-24T08:41:14.123Z info the message count=3 request_id="abc"
inline constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
// {"time":...,"level":...,"message":...,"count":3,"request_id":...}
inline constexpr char kJsonPattern[] =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

// A fact of a line beside its message. Lines about requests have the fields
// method, code, seconds, request_id, peer and reason.
struct LogField {
  std::string_view name;  // a constant of the program, in snake_case
  // An empty string is left out of the line.
  std::variant<std::string, int64_t, double> value;
};
using LogFields = std::vector<LogField>;

// A longer request_id is cut to this many characters, and "..." follows.
inline constexpr size_t kMaxRequestIdCharacters = 128;

// Both functions return text for one line, whatever the strings hold: a client
// chooses its request_id, and must not be able to write lines of its own into
// our log. Control characters, those of Unicode too, are escaped as in JSON,
// and each byte that is not UTF-8 becomes U+FFFD.

// Returns the message and NAME=VALUE for each field; strings are quoted.
std::string TextOf(std::string_view message, const LogFields& fields);

// Returns the members of a JSON object: the message, then the fields.
std::string JsonMembersOf(std::string_view message, const LogFields& fields);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_
