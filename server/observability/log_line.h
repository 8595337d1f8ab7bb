// The form of a line of the log: a pattern for spdlog, and the text that takes
// the place of %v in it.
#ifndef LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_
#define LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_

#include <string>
#include <string_view>

namespace lossd::observability {

// Both patterns have times in UTC.
//
// 2026-11-24T08:41:14.123Z info the message request_id="abc"
inline constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
// {"time":...,"level":...,"message":...,"request_id":...}
inline constexpr char kJsonPattern[] =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

// Both functions return text for one line, whatever the strings hold: a client
// chooses its request_id, and must not be able to write lines of its own into
// our log. An empty request_id is left out.

// Escapes control characters and quotes as in C.
std::string TextOf(std::string_view message, std::string_view request_id);

// Returns the members of a JSON object. Bytes that are not UTF-8 become U+FFFD.
std::string JsonMembersOf(std::string_view message,
                          std::string_view request_id);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_
