#include "server/observability/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/pattern_formatter.h>

#include <algorithm>
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
                     const LogFields& fields = {}) {
  return Line(kTextPattern, level, TextOf(message, fields));
}

std::string JsonLine(spdlog::level::level_enum level, std::string_view message,
                     const LogFields& fields = {}) {
  return Line(kJsonPattern, level, JsonMembersOf(message, fields));
}

// A client might put this into its request_id: quotes, ends of lines, an escape
// sequence for the terminal, a NUL, Unicode's own ends of lines and control
// characters, and bytes that are not UTF-8.
const std::string kAwkward =
    std::string("a\"b\\c\r\n{\"level\":\"error\"}\x1b[2J") + '\0' +
    "\x7f\xc2\x85\xc2\x9b\xe2\x80\xa8\xe2\x80\xa9\xff\xc3(z";

// Returns whether a terminal and any reader of lines see one line of plain
// characters.
bool IsPlain(const std::string& line) {
  for (const char* steering : {"\x7f", "\xc2\x85", "\xc2\x9b", "\xe2\x80\xa8",
                               "\xe2\x80\xa9", "\xff"}) {
    if (line.find(steering) != std::string::npos) return false;
  }
  return std::all_of(line.begin(), line.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20;
  });
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  EXPECT_EQ(lines.back(), "");  // the last line ends too
  lines.pop_back();
  return lines;
}

TEST(LogLine, IsReadableText) {
  EXPECT_EQ(TextLine(spdlog::level::info, "it's \"up\""),
            "2023-11-14T22:13:20.123Z info it's \"up\"");
  EXPECT_EQ(TextLine(spdlog::level::err, "no",
                     {{"count", 3}, {"seconds", 0.25}, {"request_id", "r-1"}}),
            "2023-11-14T22:13:20.123Z error no count=3 seconds=0.25 "
            "request_id=\"r-1\"");
}

TEST(LogLine, LeavesUtf8AsItIs) {
  EXPECT_EQ(TextLine(spdlog::level::info, "grün", {{"request_id", "日"}}),
            "2023-11-14T22:13:20.123Z info grün request_id=\"日\"");
}

TEST(LogLine, KeepsAwkwardTextOnOneLineOfPlainCharacters) {
  const LogFields fields = {{"reason", kAwkward}};
  const std::string text = TextLine(spdlog::level::info, kAwkward, fields);
  EXPECT_TRUE(IsPlain(text)) << text;
  EXPECT_THAT(text, testing::EndsWith("z\""));
  const std::string json = JsonLine(spdlog::level::info, kAwkward, fields);
  EXPECT_TRUE(IsPlain(json)) << json;
}

TEST(LogLine, IsOneJsonObjectThatSaysWhatWasLogged) {
  const auto object = nlohmann::json::parse(
      JsonLine(spdlog::level::warn, "say \"hi\"\n",
               {{"request_id", "r\t1"}, {"count", 7}, {"seconds", 1.5}}));
  EXPECT_EQ(object, (nlohmann::json{{"time", "2023-11-14T22:13:20.123Z"},
                                    {"level", "warning"},
                                    {"message", "say \"hi\"\n"},
                                    {"request_id", "r\t1"},
                                    {"count", 7},
                                    {"seconds", 1.5}}));
}

TEST(LogLine, IsJsonWhateverTheStringsHold) {
  const auto object = nlohmann::json::parse(
      JsonLine(spdlog::level::info, kAwkward, {{"reason", kAwkward}}));
  EXPECT_EQ(object["message"], object["reason"]);
  EXPECT_THAT(
      object["message"].get<std::string>(),
      testing::AllOf(testing::StartsWith("a\"b\\c\r\n"), testing::EndsWith("z"),
                     testing::HasSubstr("\xc2\x9b\xe2\x80\xa8"),
                     testing::HasSubstr("\xef\xbf\xbd")));
}

TEST(LogLine, LeavesOutAnEmptyField) {
  EXPECT_FALSE(nlohmann::json::parse(
                   JsonLine(spdlog::level::info, "m", {{"request_id", ""}}))
                   .contains("request_id"));
  EXPECT_THAT(TextLine(spdlog::level::info, "m", {{"peer", ""}}),
              testing::EndsWith(" m"));
}

class LongRequestId : public testing::TestWithParam<const char*> {};

TEST_P(LongRequestId, IsCutAfter128Characters) {
  std::string id;
  for (size_t i = 0; i < kMaxRequestIdCharacters; ++i) id += GetParam();
  EXPECT_EQ(TextOf("m", {{"request_id", id}}), "m request_id=\"" + id + "\"");
  EXPECT_EQ(TextOf("m", {{"request_id", id + "x"}}),
            "m request_id=\"" + id + "...\"");
}

INSTANTIATE_TEST_SUITE_P(Characters, LongRequestId,
                         testing::Values("a", "ü", "日", "😀"));

// A byte that only goes on a character begins none.
TEST(LogLine, CutsARequestIdOfBytesThatAreNoCharacters) {
  EXPECT_LT(TextOf("m", {{"request_id", std::string(1 << 20, '\x80')}}).size(),
            2000u);
}

TEST(Log, RefusesALevelThatItDoesNotKnow) {
  const absl::Status status = StartLog("loud", LogFormat::kText);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("'loud'"));
}

TEST(Log, TakesEveryLevelThatIsDocumented) {
  EXPECT_THAT(LogLevels(), testing::ElementsAre("trace", "debug", "info",
                                                "warning", "error", "off"));
  for (const std::string& level : LogLevels()) {
    EXPECT_TRUE(StartLog(level, LogFormat::kText).ok()) << level;
  }
  EXPECT_TRUE(StartLog("info", LogFormat::kText).ok());
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) {
  ASSERT_TRUE(StartLog("warning", LogFormat::kText).ok());
  EXPECT_FALSE(LogsRequests());
  CaptureStderr();
  LogInfo("quiet");
  LogRequest("quiet", {});
  LogWarning("heard");
  LogError("heard");
  EXPECT_EQ(Lines(GetCapturedStderr()).size(), 2u);
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
      for (int i = 0; i < kLines; ++i) LogInfo(kAwkward, {{"request_id", "r"}});
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
