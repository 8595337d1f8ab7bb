#include "base/flag_table.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/time/time.h"

namespace lossd {
namespace {

TEST(FlagTableTest, BothEndsOfARangeAreInside) {
  int64_t number = 1;
  absl::Duration time = absl::Seconds(10);
  const FlagTable table = {
      {"G",
       {{"number", InRange(&number, 1, 5), ""},
        {"time", InRange(&time, absl::ZeroDuration(), absl::Seconds(10)),
         ""}}}};
  EXPECT_TRUE(CheckValues(table).ok());
  number = 5;
  time = absl::ZeroDuration();
  EXPECT_TRUE(CheckValues(table).ok());
}

TEST(FlagTableTest, AValueOutsideIsNamedWithItsLimits) {
  int64_t first = 1;
  int second = 0;
  double third = 0;
  absl::Duration fourth = absl::Seconds(-1);
  const FlagTable table = {
      {"A", {{"first", InRange(&first, 1, 5), ""}}},
      {"B",
       {{"second", AtLeast(&second, 1), ""},
        {"third", InRange(&third, 0.5, 1), ""},
        {"fourth", InRange(&fourth, absl::ZeroDuration(), absl::Hours(1)),
         ""}}}};
  EXPECT_EQ(CheckValues(table).message(), "--second=0: must be at least 1");
  second = 1;
  EXPECT_EQ(CheckValues(table).message(), "--third=0: must be in [0.5, 1]");
  third = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(CheckValues(table).message(), "--third=nan: must be in [0.5, 1]");
  third = 0.75;
  EXPECT_EQ(CheckValues(table).message(),
            "--fourth=-1s: must be in [0, 1h], such as 200us or 5s");
}

TEST(FlagTableTest, AValueThatIsReplacedIsNotChecked) {
  int64_t number = 1;
  const FlagValue value = InRange(&number, 1, 5);
  EXPECT_TRUE(value.set("9").ok());
  EXPECT_FALSE(value.check().ok());
  EXPECT_TRUE(value.set("3").ok());
  EXPECT_TRUE(value.check().ok());
  EXPECT_EQ(value.default_text, "1");
}

TEST(FlagTableTest, ATraceparentIsThatOfW3COrEmpty) {
  std::string traceparent;
  const FlagValue value = TraceparentValue(&traceparent);
  EXPECT_TRUE(value.check().ok());
  ASSERT_TRUE(value.set("xx").ok());
  EXPECT_EQ(value.check().message(),
            "=xx: must be a traceparent of W3C Trace Context, such as "
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  ASSERT_TRUE(
      value.set("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
          .ok());
  EXPECT_TRUE(value.check().ok());
}

TEST(FlagTableTest, ABadTextLeavesTheValue) {
  int64_t number = 4;
  const FlagValue value = AnyValue(&number);
  EXPECT_EQ(value.set("x").message(), "=x: must be a whole number of 64 bits");
  EXPECT_EQ(number, 4);
}

TEST(CheckInRangeTest, NamesTheFlag) {
  EXPECT_TRUE(CheckInRange("a", 1, 1, 5).ok());
  EXPECT_TRUE(CheckInRange("a", 5, 1, 5).ok());
  EXPECT_EQ(CheckInRange("a", 9, 1, 5).message(), "--a=9: must be in [1, 5]");
}

}  // namespace
}  // namespace lossd
