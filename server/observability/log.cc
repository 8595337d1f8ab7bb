#include "server/observability/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lossd::observability {
namespace {

struct Log {
  void SetFormat(LogFormat of) {
    format = of;
    logger.set_pattern(of == LogFormat::kJson ? kJsonPattern : kTextPattern,
                       spdlog::pattern_time_type::utc);
  }

  spdlog::logger logger{"lossd",
                        std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  LogFormat format = LogFormat::kText;
};

// The log is never destroyed: threads of libraries may log while the process
// ends.
Log& TheLog() {
  static Log* const log = [] {
    auto* made = new Log;
    made->SetFormat(LogFormat::kText);
    return made;
  }();
  return *log;
}

void Write(spdlog::level::level_enum level, std::string_view message,
           const LogFields& fields) {
  Log& log = TheLog();
  if (!log.logger.should_log(level)) return;
  log.logger.log(level, log.format == LogFormat::kJson
                            ? JsonMembersOf(message, fields)
                            : TextOf(message, fields));
}

constexpr std::array kLevels = {spdlog::level::trace, spdlog::level::debug,
                                spdlog::level::info,  spdlog::level::warn,
                                spdlog::level::err,   spdlog::level::off};

std::string NameOf(spdlog::level::level_enum level) {
  const spdlog::string_view_t name = spdlog::level::to_string_view(level);
  return std::string(name.data(), name.size());
}

}  // namespace

std::vector<std::string> LogLevels() {
  std::vector<std::string> names;
  names.reserve(kLevels.size());
  for (const auto level : kLevels) names.push_back(NameOf(level));
  return names;
}

absl::Status StartLog(std::string_view level, LogFormat format) {
  for (const auto known : kLevels) {
    if (level != NameOf(known)) continue;
    TheLog().logger.set_level(known);
    TheLog().SetFormat(format);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("log level '", std::string(level), "' is not one of ",
                   absl::StrJoin(LogLevels(), ", ")));
}

void LogInfo(std::string_view message, const LogFields& fields) {
  Write(spdlog::level::info, message, fields);
}

void LogWarning(std::string_view message, const LogFields& fields) {
  Write(spdlog::level::warn, message, fields);
}

void LogError(std::string_view message, const LogFields& fields) {
  Write(spdlog::level::err, message, fields);
}

bool LogsRequests() { return TheLog().logger.should_log(spdlog::level::debug); }

void LogRequest(std::string_view message, const LogFields& fields) {
  Write(spdlog::level::debug, message, fields);
}

}  // namespace lossd::observability
