#include "server/door/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/temporary_path.h"

namespace lossd::door {
namespace {

std::vector<Token> Parsed(const std::string& text) {
  absl::StatusOr<std::vector<Token>> tokens = ParseTokens(text);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  return tokens.ok() ? *std::move(tokens) : std::vector<Token>();
}

std::string Refusal(const std::string& text) {
  const auto tokens = ParseTokens(text);
  EXPECT_TRUE(absl::IsInvalidArgument(tokens.status())) << text;
  return std::string(tokens.status().message());
}

// Returns the names of what the line's token may do.
std::string AllowedBy(const std::string& line) {
  const std::vector<Token> tokens = Parsed(line);
  std::string names;
  for (const Permission each :
       {Permission::kCompute, Permission::kSharedMemory, Permission::kAdmin}) {
    if (tokens.at(0).permissions.Has(each)) {
      names += std::string(NameOf(each)) + " ";
    }
  }
  return names;
}

TEST(ParseTokens, LeavesOutEmptyLinesCommentsAndBlanks) {
  const std::vector<Token> tokens = Parsed("one\n\n# not this\n  two \r\n");
  ASSERT_EQ(tokens.size(), 2);
  EXPECT_EQ(tokens[0].digest, DigestOf("one"));
  EXPECT_EQ(tokens[1].digest, DigestOf("two"));
}

TEST(ParseTokens, ATokenAloneMayDoEverything) {
  for (const char* line :
       {"t", "a token with blanks", "allow=compute", "alow=compute", "t allow",
        "a b=", "a b==", "a 7=x"}) {
    EXPECT_EQ(AllowedBy(line), "compute shared_memory admin ") << line;
    EXPECT_EQ(Parsed(line)[0].digest, DigestOf(line)) << line;
  }
}

TEST(ParseTokens, TheLastWordMaySayWhatATokenMayDo) {
  EXPECT_EQ(AllowedBy("t allow=compute"), "compute ");
  EXPECT_EQ(AllowedBy("t \t allow=admin,shared_memory"),
            "shared_memory admin ");
  EXPECT_EQ(AllowedBy("t allow=admin,admin"), "admin ");
  EXPECT_EQ(Parsed("a b  allow=compute")[0].digest, DigestOf("a b"));
}

TEST(ParseTokens, AWrongPermissionIsRefusedByTheNumberOfItsLine) {
  for (const char* names : {"", "all", "compute,", "Compute", ",admin"}) {
    const std::string text = std::string("t\n\nsecret allow=") + names;
    EXPECT_THAT(Refusal(text), testing::StartsWith("line 3: allow= is"))
        << text;
    EXPECT_THAT(Refusal(text), testing::Not(testing::HasSubstr("secret")));
  }
}

TEST(ParseTokens, AMistypedWordIsRefused) {
  for (const char* line : {"t alow=compute", "t allowed=no", "t role=admin"}) {
    EXPECT_THAT(Refusal(line), testing::HasSubstr("only allow= may stand"));
  }
}

TEST(ParseTokens, ATokenThatNoClientCanSendIsRefused) {
  for (const char* token : {"a\tb", "\xc3\xa9", "a\x7f", "\x01 allow=admin"}) {
    EXPECT_EQ(
        Refusal(std::string("fine\n") + token),
        "line 2: the token is not printable ASCII: no client can send it");
  }
}

// An empty list would let everyone in.
TEST(ParseTokens, AFileWithoutATokenIsRefused) {
  for (const char* text : {"", "\n", "# only this\n", " \t\r\n"}) {
    EXPECT_EQ(Refusal(text), "must have at least one token");
  }
}

TEST(ReadTokenFile, NamesFlagAndPath) {
  const TemporaryPath path("tokens");
  EXPECT_THAT(std::string(ReadTokenFile(path.string()).status().message()),
              testing::StartsWith("--token_file=" + path.string() + ": "));
  std::ofstream(path.string()) << "t allow=\n";
  EXPECT_THAT(
      std::string(ReadTokenFile(path.string()).status().message()),
      testing::StartsWith("--token_file=" + path.string() + ": line 1"));
}

}  // namespace
}  // namespace lossd::door
