#include "base/flag_parser.h"

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

ABSL_FLAG(std::string, flag_parser_test_text, "", "");
ABSL_FLAG(int64_t, flag_parser_test_number, 0, "");
ABSL_FLAG(double, flag_parser_test_real, 0, "");
ABSL_FLAG(std::optional<double>, flag_parser_test_perhaps, std::nullopt, "");
ABSL_FLAG(bool, flag_parser_test_switch, false, "");
ABSL_FLAG(absl::Duration, flag_parser_test_time, absl::Seconds(1), "");

namespace lossd {
namespace {

using Words = std::vector<std::string>;

absl::StatusOr<Words> Parse(std::vector<const char*> arguments) {
  return ParseFlags(arguments);
}

TEST(FlagParserTest, SetsFlagsAndReturnsTheRestInOrder) {
  const absl::FlagSaver saver;
  const auto rest = Parse({"health", "--flag_parser_test_text=a=b",
                           "--flag_parser_test_number", "-7", "x"});
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ(*rest, Words({"health", "x"}));
  EXPECT_EQ(absl::GetFlag(FLAGS_flag_parser_test_text), "a=b");
  EXPECT_EQ(absl::GetFlag(FLAGS_flag_parser_test_number), -7);
}

TEST(FlagParserTest, ASwitchNeedsNoValueAndCanBeTurnedOff) {
  const absl::FlagSaver saver;
  ASSERT_EQ(*Parse({"--flag_parser_test_switch", "x"}), Words({"x"}));
  EXPECT_TRUE(absl::GetFlag(FLAGS_flag_parser_test_switch));
  ASSERT_TRUE(Parse({"--noflag_parser_test_switch"}).ok());
  EXPECT_FALSE(absl::GetFlag(FLAGS_flag_parser_test_switch));
}

TEST(FlagParserTest, AfterTwoDashesEverythingIsRest) {
  EXPECT_EQ(*Parse({"--", "--x", "-"}), Words({"--x", "-"}));
}

TEST(FlagParserTest, MistakesAreErrorsOfOneLine) {
  const absl::FlagSaver saver;
  const auto message = [](std::vector<const char*> arguments) {
    return std::string(Parse(std::move(arguments)).status().message());
  };
  EXPECT_EQ(message({"--no_such_flag=1"}), "--no_such_flag: no such flag");
  EXPECT_EQ(message({"--noflag_parser_test_number"}),
            "--noflag_parser_test_number: no such flag");
  EXPECT_EQ(message({"--flag_parser_test_number"}),
            "--flag_parser_test_number: no value");
  EXPECT_EQ(message({"--flag_parser_test_number=many"}),
            "--flag_parser_test_number=many: must be a whole number of 64 "
            "bits");
  EXPECT_EQ(message({"--flag_parser_test_perhaps=some"}),
            "--flag_parser_test_perhaps=some: must be a number");
  EXPECT_EQ(message({"--flag_parser_test_switch=half"}),
            "--flag_parser_test_switch=half: must be true or false");
  EXPECT_EQ(message({"--flag_parser_test_time=5"}),
            "--flag_parser_test_time=5: must be a number with a unit, such as "
            "500ms or 5s");
}

TEST(FlagParserTest, ANumberBeyondFloat64IsNotInfinity) {
  const absl::FlagSaver saver;
  for (const std::string flag :
       {"--flag_parser_test_real", "--flag_parser_test_perhaps"}) {
    for (const char* value : {"1e400", "-1e400"}) {
      const std::string argument = flag + "=" + value;
      EXPECT_EQ(Parse({argument.c_str()}).status().message(),
                argument + ": is too large for float64");
    }
    for (const char* value : {"inf", "-Infinity", "1e308", "1e-400", "nan"}) {
      EXPECT_TRUE(Parse({(flag + "=" + value).c_str()}).ok()) << value;
    }
  }
}

TEST(CheckRangesTest, BothEndsAreInside) {
  EXPECT_TRUE(CheckRanges({}).ok());
  EXPECT_TRUE(CheckRanges({{"a", 1, 1, 5}, {"b", 5, 1, 5}}).ok());
}

TEST(CheckRangesTest, TheFirstOutsideIsNamedWithItsValueAndLimits) {
  EXPECT_EQ(CheckRanges({{"a", 0, 1, 5}}).message(),
            "--a=0: must be in [1, 5]");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(CheckRanges({{"a", 1, 1, 5}, {"b", kMost, 1, 5}, {"c", 9, 1, 5}})
                .message(),
            "--b=9223372036854775807: must be in [1, 5]");
}

}  // namespace
}  // namespace lossd
