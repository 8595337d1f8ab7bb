#include "base/completion/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace lossd::completion {
namespace {

using testing::ElementsAre;

TEST(SummaryTest, EndsBeforeTheFirstDetail) {
  EXPECT_EQ(Summary("the loss: focal, poly or none"), "the loss");
  EXPECT_EQ(Summary("most elements in one batch; larger ones (on a GPU)"),
            "most elements in one batch");
  EXPECT_EQ(Summary("where losses are computed (on a GPU): auto"),
            "where losses are computed");
  EXPECT_EQ(Summary("HOST:PORT of the server"), "HOST:PORT of the server");
  EXPECT_EQ(Summary(""), "");
}

TEST(SpellingsTest, OnlyASwitchThatIsOnCanBeTurnedOff) {
  bool on = true;
  bool off = false;
  std::string text = "true";
  const FlagTable table = {
      {"A", {{"on", AnyValue(&on), ""}}},
      {"B", {{"off", AnyValue(&off), ""}, {"text", AnyValue(&text), ""}}}};
  EXPECT_THAT(SpellingsOf(table), ElementsAre("on", "noon", "off", "text"));
}

TEST(FlagsOfTest, AFlagOfSeveralCommandsIsThereOnce) {
  int value = 0;
  const auto table = [&](const char* first, const char* second) {
    return FlagTable{{"A", {{first, AnyValue(&value), ""}}},
                     {"B", {{second, AnyValue(&value), ""}}}};
  };
  Program program{.name = "p", .flags = table("a", "b"), .commands = {}};
  program.commands.push_back({.name = "one",
                              .help = "",
                              .flags = table("b", "c"),
                              .operand = "",
                              .choices = {}});
  std::vector<std::string> names;
  for (const Flag* flag : FlagsOf(program)) names.push_back(flag->name);
  EXPECT_THAT(names, ElementsAre("a", "b", "c"));
  EXPECT_FALSE(HasAddress(program));
  std::string address;
  program.commands.front().flags.front().flags.front().value =
      AddressValue(&address);
  EXPECT_FALSE(HasAddress(program)) << "the first row of a name counts";
  program.flags.clear();
  EXPECT_TRUE(HasAddress(program));
}

}  // namespace
}  // namespace lossd::completion
