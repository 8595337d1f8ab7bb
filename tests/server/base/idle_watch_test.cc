#include "server/base/idle_watch.h"

#include <gtest/gtest.h>

namespace lossd {
namespace {

constexpr absl::Time kStart = absl::UnixEpoch();

TEST(IdleWatch, IsDueOnceAfterTheLimit) {
  IdleWatch watch(absl::Seconds(60));
  EXPECT_FALSE(watch.IsDue(5, kStart));
  EXPECT_FALSE(watch.IsDue(5, kStart + absl::Seconds(59)));
  EXPECT_TRUE(watch.IsDue(5, kStart + absl::Seconds(60)));
  EXPECT_FALSE(watch.IsDue(5, kStart + absl::Seconds(500)));
}

TEST(IdleWatch, BeginsAgainWithEachEvent) {
  IdleWatch watch(absl::Seconds(60));
  watch.IsDue(5, kStart);
  EXPECT_FALSE(watch.IsDue(6, kStart + absl::Seconds(60)));
  EXPECT_FALSE(watch.IsDue(6, kStart + absl::Seconds(119)));
  EXPECT_TRUE(watch.IsDue(6, kStart + absl::Seconds(120)));
}

TEST(IdleWatch, IsNeverDueBeforeTheFirstEvent) {
  IdleWatch watch(absl::Seconds(60));
  EXPECT_FALSE(watch.IsDue(0, kStart));
  EXPECT_FALSE(watch.IsDue(0, kStart + absl::Hours(1)));
}

}  // namespace
}  // namespace lossd
