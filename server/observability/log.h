// Writes the log to standard error, as text or as one JSON object a line.
#ifndef LOSSD_SERVER_OBSERVABILITY_LOG_H_
#define LOSSD_SERVER_OBSERVABILITY_LOG_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/observability/log_line.h"

namespace lossd::observability {

enum class LogFormat { kText, kJson };

// Returns the names of the levels: trace, debug, info, warning, error and off.
std::vector<std::string> LogLevels();

// Sets up the process's log. `level` is one of LogLevels(). Errors:
// INVALID_ARGUMENT for another level. Call once, before threads start.
absl::Status StartLog(std::string_view level, LogFormat format);

// All of the following are thread-safe.
void LogInfo(std::string_view message, const LogFields& fields = {});
void LogWarning(std::string_view message, const LogFields& fields = {});
void LogError(std::string_view message, const LogFields& fields = {});

// Returns whether lines about single requests are logged. Check it before
// building such a line.
bool LogsRequests();
// Writes a line about one request, at level debug.
void LogRequest(std::string_view message, const LogFields& fields);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_LOG_H_
