#include "server/observability/refusal_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "server/observability/log.h"
#include "server/observability/metrics.h"

namespace lossd::observability {
namespace {

using testing::HasSubstr;

// Returns the lines that one report writes.
std::string Report(RefusalLog& log) {
  testing::internal::CaptureStderr();
  log.Report();
  return testing::internal::GetCapturedStderr();
}

TEST(RefusalLog, SumsUpEachReasonOnce) {
  ASSERT_TRUE(StartLog("info", LogFormat::kText).ok());
  Metrics metrics("1", "cpu/TEST");
  RefusalLog log([&] { return metrics.Refusals(); });
  for (int i = 0; i < 3; ++i) metrics.RecordRejection("bytes");
  metrics.RecordRejection("draining");
  const std::string lines = Report(log);
  EXPECT_THAT(lines, HasSubstr(" warning refused reason=\"bytes\" count=3\n"));
  EXPECT_THAT(lines,
              HasSubstr(" warning refused reason=\"draining\" count=1\n"));
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
}

TEST(RefusalLog, SaysNothingOfWhatItHasReported) {
  Metrics metrics("1", "cpu/TEST");
  RefusalLog log([&] { return metrics.Refusals(); });
  EXPECT_EQ(Report(log), "");
  metrics.RecordRejection("share");
  EXPECT_NE(Report(log), "");
  EXPECT_EQ(Report(log), "");
  metrics.RecordRejection("share");
  EXPECT_THAT(Report(log), HasSubstr("count=1\n"));
}

TEST(RefusalLog, NamesTheCodeWhereAdmissionHadNoPart) {
  Metrics metrics("1", "cpu/TEST");
  RefusalLog log([&] { return metrics.Refusals(); });
  const auto finish = [&](absl::StatusCode code) {
    metrics.RecordCallFinished(Method::kComputeLoss, code,
                               absl::Milliseconds(1));
  };
  finish(absl::StatusCode::kOk);
  finish(absl::StatusCode::kCancelled);
  finish(absl::StatusCode::kResourceExhausted);  // counted by its reason
  EXPECT_EQ(Report(log), "");
  finish(absl::StatusCode::kInvalidArgument);
  metrics.RecordCallFinished(Method::kStreamLoss,
                             absl::StatusCode::kInvalidArgument,
                             absl::Milliseconds(1));
  EXPECT_THAT(Report(log), HasSubstr("reason=\"INVALID_ARGUMENT\" count=2\n"));
}

}  // namespace
}  // namespace lossd::observability
