#include "client/cli/watch/screen.h"

#include <gtest/gtest.h>

namespace lossd::cli::watch {
namespace {

TEST(DrawingTest, ClearsWhatAnEarlierOneLeft) {
  EXPECT_EQ(Drawing({"ab", "c"}, 5, 10), "\x1b[Hab\x1b[K\r\nc\x1b[K\x1b[J");
}

TEST(DrawingTest, IsCutToTheScreen) {
  // A sequence after a full line would clear its last column.
  EXPECT_EQ(Drawing({"abcd", "e", "f"}, 2, 3), "\x1b[Habc\r\ne\x1b[K");
}

TEST(DrawingTest, HasNoControlCharactersOfTheServer) {
  EXPECT_EQ(Drawing({"a\x1b[2Jb\n"}, 1, 80), "\x1b[Ha [2Jb \x1b[K");
}

}  // namespace
}  // namespace lossd::cli::watch
