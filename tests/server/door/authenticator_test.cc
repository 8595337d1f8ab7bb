#include "server/door/authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lossd::door {
namespace {

TEST(Authenticator, AcceptsItsTokensAndNothingElse) {
  const Authenticator authenticator({"alpha", "beta"});
  EXPECT_TRUE(authenticator.Accepts("alpha"));
  EXPECT_TRUE(authenticator.Accepts("beta"));
  for (const char* other : {"", "alph", "alphaa", "Alpha", "gamma"}) {
    EXPECT_FALSE(authenticator.Accepts(other)) << other;
  }
}

TEST(ReadTokens, LeavesOutEmptyLinesAndComments) {
  EXPECT_THAT(ReadTokens("one\n\n# not this\n  two \r\n"),
              testing::ElementsAre("one", "two"));
  EXPECT_TRUE(ReadTokens("").empty());
}

TEST(IsSendable, IsPrintableAscii) {
  EXPECT_TRUE(IsSendable("!a b~"));
  for (const char* other : {"a\tb", "\xc3\xa9", "\x7f"}) {
    EXPECT_FALSE(IsSendable(other)) << other;
  }
}

TEST(Authenticator, AcceptsOnlyTheNewestTokens) {
  Authenticator authenticator({"old", "kept"});
  authenticator.Replace({"kept", "new"});
  EXPECT_FALSE(authenticator.Accepts("old"));
  EXPECT_TRUE(authenticator.Accepts("kept"));
  EXPECT_TRUE(authenticator.Accepts("new"));
}

}  // namespace
}  // namespace lossd::door
