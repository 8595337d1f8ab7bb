// The form of a line of the log.
#ifndef LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_
#define LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace lossd::observability {

struct LogEntry {
  absl::Time time;
  std::string_view level;  // "info", ...
  std::string_view message;
  std::string_view request_id;  // may be empty: then it is left out
};

// Both give one line without its end, whatever the strings hold: a client
// chooses its request_id, and must not be able to write lines of its own into
// our log.

// 2026-11-24T08:41:14.123Z info the message request_id="abc"; control
// characters and quotes escaped as in C.
std::string TextLine(const LogEntry& entry);

// {"time":...,"level":...,"message":...,"request_id":...}; bytes that are not
// UTF-8 become U+FFFD.
std::string JsonLine(const LogEntry& entry);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_LOG_LINE_H_
