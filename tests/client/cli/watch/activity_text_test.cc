#include "client/cli/watch/activity_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lossd::cli::watch {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Activity Busy() {
  Activity a;
  a.serving = true;
  a.requests = {{"OK", 12345}, {"UNAVAILABLE", 5}, {"INTERNAL", 0}};
  a.request_seconds["ComputeLoss"] = {.per_second = 12350,
                                      .mean = 1e-4,
                                      .p50 = 3e-5,
                                      .p90 = 2e-4,
                                      .p99 = 3e-3,
                                      .least = 5e-5};
  a.request_seconds["StreamLoss"] = {};
  a.executors = 2;
  return a;
}

TEST(ActivityTextTest, TheLineHasRatesAndPercentiles) {
  EXPECT_THAT(ActivityLine(Busy()),
              AllOf(HasSubstr(" serving  12.3k requests/s (5 not OK)"),
                    HasSubstr("p50 <=50.0 us"), HasSubstr("p99 3.00 ms")));
}

TEST(ActivityTextTest, TheScreenHasWhatHappenedAlone) {
  const auto lines = ActivityScreen(Busy());
  EXPECT_THAT(lines,
              Contains(AllOf(HasSubstr("OK 12.3k"), HasSubstr("UNAVAILABLE 5"),
                             Not(HasSubstr("INTERNAL")))));
  EXPECT_THAT(lines, Contains(AllOf(StartsWith("  ComputeLoss"),
                                    HasSubstr(" <=50.0 us"))));
  EXPECT_THAT(
      lines,
      Not(Contains(AnyOf(StartsWith("  StreamLoss"), StartsWith("jobs")))));
}

TEST(ActivityTextTest, JobsAreATable) {
  Activity a = Busy();
  a.jobs = {{"a", {{"requests_per_second", 11}, {"saturated", 0.0251}}},
            {"b", {{"requests_per_second", 4}}}};
  const auto lines = ActivityScreen(a);
  ASSERT_GE(lines.size(), 3u);
  EXPECT_THAT(lines.end()[-3],
              AllOf(StartsWith("jobs"), HasSubstr(" requests/s  saturated")));
  EXPECT_THAT(lines.end()[-2], HasSubstr("        11     0.0251"));
  EXPECT_THAT(lines.end()[-1], HasSubstr("         4          -"));
}

TEST(ActivityTextTest, AServerThatDrainsOrIsNewIsNamedSo) {
  Activity a = Busy();
  a.serving = false;
  a.restarted = true;
  EXPECT_THAT(ActivityScreen(a).front(), StartsWith("NOT SERVING, restarted"));
}

}  // namespace
}  // namespace lossd::cli::watch
