#include "base/flag_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace lossd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Words = std::vector<std::string>;

class FlagParserTest : public testing::Test {
 protected:
  absl::StatusOr<Words> Parse(const Words& arguments) {
    return ParseFlags(table_, arguments);
  }
  std::string Error(const Words& arguments) {
    return std::string(Parse(arguments).status().message());
  }

  std::string text_ = "initial";
  int64_t number_ = 0;
  int small_ = 0;
  double real_ = 0;
  std::optional<double> perhaps_;
  bool switch_ = false;
  bool help_ = false;
  absl::Duration time_ = absl::Seconds(1);
  const FlagTable table_ = {
      {"Plain",
       {{"text", AnyValue(&text_), "any text"},
        {"number", AnyValue(&number_), "a number"},
        {"small", AnyValue(&small_), "a small number"},
        {"real", AnyValue(&real_), "a real number"},
        {"perhaps", AnyValue(&perhaps_), "a number or nothing"}}},
      {"Others",
       {{"switch", AnyValue(&switch_), "on or off"},
        {"help", AnyValue(&help_), "print this"},
        {"time", AnyValue(&time_), "a time"}}}};
};

TEST_F(FlagParserTest, SetsFlagsAndReturnsTheRestInOrder) {
  const auto rest =
      Parse({"health", "--text=a=b", "--number", "-7", "-small=3", "x", "-"});
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_THAT(*rest, ElementsAre("health", "x", "-"));
  EXPECT_EQ(text_, "a=b");
  EXPECT_EQ(number_, -7);
  EXPECT_EQ(small_, 3);
}

TEST_F(FlagParserTest, ASwitchNeedsNoValueAndCanBeTurnedOff) {
  ASSERT_EQ(*Parse({"--switch", "x"}), Words({"x"}));
  EXPECT_TRUE(switch_);
  ASSERT_TRUE(Parse({"--noswitch"}).ok());
  EXPECT_FALSE(switch_);
}

TEST_F(FlagParserTest, OneLetterAsksForHelp) {
  ASSERT_TRUE(Parse({"-h"}).ok());
  EXPECT_TRUE(help_);
}

TEST_F(FlagParserTest, AnOptionalNumberCanBeTakenBack) {
  ASSERT_TRUE(Parse({"--perhaps=2.5"}).ok());
  EXPECT_EQ(perhaps_, 2.5);
  ASSERT_TRUE(Parse({"--perhaps="}).ok());
  EXPECT_EQ(perhaps_, std::nullopt);
}

TEST_F(FlagParserTest, AfterTwoDashesEverythingIsRest) {
  EXPECT_EQ(*Parse({"--", "--x", "-"}), Words({"--x", "-"}));
}

TEST_F(FlagParserTest, MistakesAreErrorsOfOneLine) {
  EXPECT_EQ(Error({"--none=1"}), "unknown flag --none; see --help");
  EXPECT_EQ(Error({"-none"}), "unknown flag --none; see --help");
  EXPECT_EQ(Error({"--nonumber"}), "unknown flag --nonumber; see --help");
  EXPECT_EQ(Error({"--noswitch=1"}), "unknown flag --noswitch; see --help");
  EXPECT_EQ(Error({"--number"}), "--number needs a value");
  EXPECT_EQ(Error({"--number=many"}),
            "--number=many: must be a whole number of 64 bits");
  EXPECT_EQ(Error({"--small=3000000000"}),
            "--small=3000000000: must be a whole number of 32 bits");
  EXPECT_EQ(Error({"--perhaps=some"}), "--perhaps=some: must be a number");
  EXPECT_EQ(Error({"--switch=half"}), "--switch=half: must be true or false");
  EXPECT_EQ(Error({"--time=5"}),
            "--time=5: must be a number with a unit, such as 200us or 5s");
}

TEST_F(FlagParserTest, ANumberBeyondFloat64IsNotInfinity) {
  for (const std::string flag : {"--real", "--perhaps"}) {
    for (const char* value : {"1e400", "-1e400"}) {
      const std::string argument = flag + "=" + value;
      EXPECT_EQ(Error({argument}), argument + ": is too large for float64");
    }
    for (const char* value : {"inf", "-Infinity", "1e308", "1e-400", "nan"}) {
      EXPECT_TRUE(Parse({flag + "=" + value}).ok()) << value;
    }
  }
}

TEST_F(FlagParserTest, AProgramOfFlagsOnlyTakesNoWords) {
  EXPECT_TRUE(ParseFlagsOnly(table_, {"--number=1"}).ok());
  EXPECT_EQ(ParseFlagsOnly(table_, {"word"}).message(),
            "word is not a flag; see --help");
}

TEST_F(FlagParserTest, TheDescriptionHasGroupsDefaultsAndHelp) {
  EXPECT_THAT(DescribeFlags(table_),
              HasSubstr("Plain:\n  --text=initial\n      any text\n"));
  EXPECT_THAT(DescribeFlags(table_),
              HasSubstr("\n\nOthers:\n  --switch=false\n      on or off\n"));
  EXPECT_THAT(DescribeFlags(table_), HasSubstr("  --time=1s\n"));
}

TEST_F(FlagParserTest, TheDescriptionIsOfTheDefaultsWhateverIsSet) {
  const std::string before = DescribeFlags(table_);
  ASSERT_TRUE(Parse({"--number=5", "--text=other"}).ok());
  EXPECT_EQ(DescribeFlags(table_), before);
}

TEST(DescribeFlagsTest, LongHelpIsWrapped) {
  std::string text;
  const std::string words(100, 'a');
  const FlagTable table = {
      {"G", {{"x", AnyValue(&text), "some " + words + " more"}}}};
  EXPECT_EQ(DescribeFlags(table),
            "G:\n  --x=\n      some\n      " + words + "\n      more\n");
}

}  // namespace
}  // namespace lossd
