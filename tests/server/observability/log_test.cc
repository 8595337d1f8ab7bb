#include "server/observability/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/pattern_formatter.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "server/observability/log_line.h"

namespace lossd::observability {
namespace {

using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

// 2023-11-14T22:13:20.123Z
const auto kTime =
    spdlog::log_clock::time_point(std::chrono::milliseconds(1'700'000'000'123));

// Returns the line, without its end, that spdlog makes of `text`.
std::string Line(const char* pattern, spdlog::level::level_enum level,
                 const std::string& text) {
  spdlog::pattern_formatter formatter(pattern, spdlog::pattern_time_type::utc,
                                      "");
  spdlog::details::log_msg message({}, "lossd", level, text);
  message.time = kTime;
  spdlog::memory_buf_t line;
  formatter.format(message, line);
  return {line.data(), line.size()};
}

std::string TextLine(spdlog::level::level_enum level, std::string_view message,
                     std::string_view request_id) {
  return Line(kTextPattern, level, TextOf(message, request_id));
}

std::string JsonLine(spdlog::level::level_enum level, std::string_view message,
                     std::string_view request_id) {
  return Line(kJsonPattern, level, JsonMembersOf(message, request_id));
}

// A client might put this into its request_id: quotes, ends of lines, an escape
// sequence for the terminal, a NUL and bytes that are not UTF-8.
const std::string kAwkward =
    std::string("a\"b\\c\r\n{\"level\":\"error\"}\x1b[2J") + '\0' +
    "\xff\xc3(z";

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  EXPECT_EQ(lines.back(), "");  // the last line ends too
  lines.pop_back();
  return lines;
}

TEST(LogLine, IsReadableText) {
  EXPECT_EQ(TextLine(spdlog::level::info, "it's \"up\"", ""),
            "2023-11-14T22:13:20.123Z info it's \"up\"");
  EXPECT_EQ(TextLine(spdlog::level::err, "no", "r-1"),
            "2023-11-14T22:13:20.123Z error no request_id=\"r-1\"");
}

TEST(LogLine, LeavesUtf8AsItIs) {
  EXPECT_EQ(TextLine(spdlog::level::info, "grün", "日"),
            "2023-11-14T22:13:20.123Z info grün request_id=\"日\"");
}

TEST(LogLine, KeepsAwkwardTextOnOneLineWithoutControlCharacters) {
  const std::string line = TextLine(spdlog::level::info, kAwkward, kAwkward);
  for (const char c : line)
    EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
  EXPECT_THAT(line, testing::EndsWith("z\""));
}

TEST(LogLine, IsOneJsonObjectThatSaysWhatWasLogged) {
  const auto object = nlohmann::json::parse(
      JsonLine(spdlog::level::warn, "say \"hi\"\n", "r\t1"));
  EXPECT_EQ(object, (nlohmann::json{{"time", "2023-11-14T22:13:20.123Z"},
                                    {"level", "warning"},
                                    {"message", "say \"hi\"\n"},
                                    {"request_id", "r\t1"}}));
}

TEST(LogLine, IsJsonWhateverTheStringsHold) {
  const std::string line = JsonLine(spdlog::level::info, kAwkward, kAwkward);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto object = nlohmann::json::parse(line);
  EXPECT_EQ(object["message"], object["request_id"]);
  EXPECT_THAT(
      object["message"].get<std::string>(),
      testing::AllOf(testing::StartsWith("a\"b\\c\r\n"), testing::EndsWith("z"),
                     testing::HasSubstr("\xef\xbf\xbd")));
}

TEST(LogLine, LeavesOutAnEmptyRequestId) {
  EXPECT_FALSE(nlohmann::json::parse(JsonLine(spdlog::level::info, "m", ""))
                   .contains("request_id"));
}

TEST(Log, RefusesALevelThatItDoesNotKnow) {
  const absl::Status status = StartLog("loud", LogFormat::kText);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("'loud'"));
}

TEST(Log, TakesEveryLevelThatIsDocumented) {
  for (const char* level :
       {"trace", "debug", "info", "warning", "error", "off"}) {
    EXPECT_TRUE(StartLog(level, LogFormat::kText).ok()) << level;
  }
  EXPECT_TRUE(StartLog("info", LogFormat::kText).ok());
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) {
  ASSERT_TRUE(StartLog("warning", LogFormat::kText).ok());
  EXPECT_FALSE(LogsRequests());
  CaptureStderr();
  LogInfo("quiet");
  LogRequest("quiet", "r");
  LogError("heard");
  EXPECT_EQ(Lines(GetCapturedStderr()).size(), 1u);
  ASSERT_TRUE(StartLog("debug", LogFormat::kText).ok());
  EXPECT_TRUE(LogsRequests());
  ASSERT_TRUE(StartLog("info", LogFormat::kText).ok());
}

TEST(Log, WritesWholeLinesFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kLines = 100;
  ASSERT_TRUE(StartLog("info", LogFormat::kJson).ok());
  CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < kLines; ++i) LogInfo(kAwkward, "r");
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = Lines(GetCapturedStderr());
  ASSERT_TRUE(StartLog("info", LogFormat::kText).ok());
  ASSERT_EQ(lines.size(), size_t{kThreads * kLines});
  for (const std::string& line : lines) {
    EXPECT_EQ(nlohmann::json::parse(line)["request_id"], "r");
  }
}

}  // namespace
}  // namespace lossd::observability
