#include "base/completion/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace lossd::completion {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The shells themselves run such scripts in tests/e2e/test_completion.py.
class ScriptTest : public testing::Test {
 protected:
  ScriptTest() {
    const FlagTable all = {
        {"Loss",
         {{"kind", NameValue(&text_, {"focal", "poly"}), "the loss: a name"},
          {"count", AnyValue(&number_), "it's [HOST:PORT] of a\\b"},
          {"input", PathValue(&text_), "file"}}},
        {"Other",
         {{"target", AddressValue(&address_), "the server"},
          {"gradient", AnyValue(&on_), "compute the gradient"}}}};
    flags_only_ = {.name = "plain", .flags = all, .commands = {}};
    program_ = {.name = "prog", .flags = all, .commands = {}};
    program_.commands.push_back({.name = "compute",
                                 .help = "one loss",
                                 .flags = all,
                                 .operand = "",
                                 .choices = {}});
    program_.commands.push_back(
        {.name = "watch",
         .help = "look",
         .flags = {{"Watching", {{"interval", AnyValue(&number_), "time"}}}},
         .operand = "HOST:PORT",
         .choices = {"localhost:9464"}});
  }
  std::string Of(absl::string_view shell) { return *Script(shell, program_); }

  std::string text_;
  std::string address_ = "localhost:50051";
  int number_ = 0;
  bool on_ = true;
  Program program_;
  Program flags_only_;
};

TEST_F(ScriptTest, EveryShellGetsEveryFlagCommandAndValue) {
  EXPECT_THAT(Shells(), ElementsAre("bash", "zsh", "fish"));
  for (const std::string& shell : Shells()) {
    for (const char* word :
         {"kind", "count", "input", "target", "gradient", "nogradient",
          "interval", "focal poly", "compute", "watch", "9464"}) {
      EXPECT_THAT(Of(shell), HasSubstr(word)) << shell;
    }
    EXPECT_THAT(Of(shell), Not(testing::ContainsRegex("@[a-z]+@")))
        << "a place was not filled";
  }
}

TEST_F(ScriptTest, BashKnowsTheFlagsOfEachCommandAndWhichTakeAValue) {
  EXPECT_THAT(Of("bash"),
              AllOf(HasSubstr("    watch) offered='--interval=' ;;\n"),
                    HasSubstr(" --target= --gradient --nogradient' ;;\n"),
                    HasSubstr("' kind count input target interval '"),
                    HasSubstr("    kind) offered='focal poly' ;;\n"),
                    HasSubstr("    input) return 1 ;;\n"),
                    HasSubstr("    ,0) offered='compute watch' ;;\n"),
                    HasSubstr("    watch,0) offered='localhost:9464' ;;\n"),
                    HasSubstr("\ncomplete -F _prog prog\n")));
}

TEST_F(ScriptTest, ZshIsToldWhatFlagsDoAndTheirTextIsQuoted) {
  EXPECT_THAT(
      Of("zsh"),
      AllOf(testing::StartsWith("#compdef prog\n"),
            HasSubstr("'--kind=[the loss]:kind:(focal poly)'\n"),
            HasSubstr(R"('--count=[it'\''s \[HOST:PORT\] of a\\b]:count: ')"),
            HasSubstr("'--input=[file]:input:_files'\n"),
            HasSubstr("'--nogradient[do not compute the gradient]'\n"),
            HasSubstr(R"(:target:_prog_address localhost\:50051')"),
            HasSubstr(R"(reply+=('1:host\:port:(localhost\:9464)'))"),
            HasSubstr("'watch:look'\n")));
}

TEST_F(ScriptTest, FishIsToldWhereAFlagCounts) {
  EXPECT_THAT(
      Of("fish"),
      AllOf(HasSubstr("complete -c prog -n \"__prog_command '' compute\" -l "
                      "kind -x -a 'focal poly' -d 'the loss'\n"),
            HasSubstr("\"__prog_command watch\" -l interval -x -d 'time'\n"),
            HasSubstr(R"(-d 'it\'s [HOST:PORT] of a\\b')"),
            HasSubstr(" -l input -r -F -d 'file'\n"),
            HasSubstr(" -n \"__prog_command ''\" -a watch -d 'look'\n"),
            HasSubstr("\"__prog_operand watch\" -a 'localhost:9464'\n")));
}

TEST_F(ScriptTest, AProgramOfFlagsAloneHasNoCommands) {
  for (const std::string& shell : Shells()) {
    const std::string script = *Script(shell, flags_only_);
    EXPECT_THAT(script, AllOf(HasSubstr("nogradient"),
                              Not(testing::ContainsRegex("@[a-z]+@"))));
  }
  EXPECT_THAT(*Script("fish", flags_only_),
              HasSubstr("\ncomplete -c plain -l count -x -d "));
  EXPECT_THAT(*Script("zsh", flags_only_), Not(HasSubstr("state in")));
}

TEST_F(ScriptTest, AnotherShellIsAnErrorThatNamesTheThree) {
  for (const char* shell : {"tcsh", "", "Bash"}) {
    const absl::Status status = Script(shell, program_).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("none of bash, zsh and fish"));
  }
}

TEST(CompletionFlagTest, StoresTheNameOfAShell) {
  std::string shell;
  const Flag flag = CompletionFlag(&shell);
  EXPECT_EQ(flag.name, "completion");
  EXPECT_EQ(flag.value.choices, Shells());
  EXPECT_EQ(flag.value.set("tcsh").message(),
            "=tcsh: must be bash, zsh or fish");
  EXPECT_EQ(shell, "");
  EXPECT_TRUE(flag.value.set("fish").ok());
  EXPECT_EQ(shell, "fish");
}

}  // namespace
}  // namespace lossd::completion
