#include "client/cli/watch/exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace lossd::cli::watch {
namespace {

using ::testing::HasSubstr;

TEST(ExpositionTest, HasTheSamplesOfTheFormatsOwnExample) {
  const auto read = ParseExposition(
      "# HELP http_requests_total The total number of HTTP requests.\n"
      "# TYPE http_requests_total counter\n"
      "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
      "http_requests_total{method=\"post\",code=\"400\"}    3 1395066363000\n"
      "\n"
      "# Escaping in label values:\n"
      "msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error="
      "\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9\n"
      "# Minimalistic line:\n"
      "metric_without_timestamp_and_labels 12.47\n"
      "something_weird{problem=\"division by zero\"} +Inf -3982045\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->types.at("http_requests_total"), "counter");
  EXPECT_EQ(
      read->Value("http_requests_total", {{"method", "post"}, {"code", "400"}}),
      3);
  EXPECT_EQ(read->Value("msdos_file_access_time_seconds",
                        {{"path", "C:\\DIR\\FILE.TXT"},
                         {"error", "Cannot find file:\n\"FILE.TXT\""}}),
            1.458255915e9);
  EXPECT_EQ(read->Value("metric_without_timestamp_and_labels"), 12.47);
  EXPECT_TRUE(std::isinf(
      *read->Value("something_weird", {{"problem", "division by zero"}})));
  EXPECT_EQ(read->Value("http_requests_total"), std::nullopt);
  EXPECT_TRUE(read->Of("nowhere").empty());
}

TEST(ExpositionTest, TakesBlanksAndATrailingComma) {
  const auto read = ParseExposition("a { b = \"c\" , } NaN\na{} 1\r\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(std::isnan(*read->Value("a", {{"b", "c"}})));
  EXPECT_EQ(read->Value("a"), 1);
}

class BadExpositionTest : public ::testing::TestWithParam<const char*> {};

TEST_P(BadExpositionTest, IsRefusedWithTheNumberOfItsLine) {
  const auto read =
      ParseExposition(std::string("good 1\n") + GetParam() + "\n");
  ASSERT_TRUE(absl::IsInvalidArgument(read.status()));
  EXPECT_THAT(read.status().message(), HasSubstr("line 2"));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadExpositionTest,
    ::testing::Values("name", "name x", "9name 1", "name 1 2 3", "name 1 x",
                      "name{a} 1", "name{a=b} 1", "name{a=\"b} 1",
                      "name{a=\"b\\", "name{a=\"b\" c=\"d\"} 1",
                      "name{a=\"b\",a=\"c\"} 1", "name{a=\"b\"", "{a=\"b\"} 1",
                      "<html>", "\xff\xfe"));

TEST(ExpositionTest, ReadsEveryBeginningOfAPageWithoutHarm) {
  const std::string page =
      "# TYPE a histogram\na_bucket{le=\"0.5\",x=\"\\n\\\\\\\"\"} 1 -2\n"
      "a_bucket{le=\"+Inf\"} 2e3\na_sum 0.7\n";
  for (size_t length = 0; length <= page.size(); ++length) {
    // The view has its own memory, so that a sanitizer sees a read beyond it.
    const std::string beginning = page.substr(0, length);
    const auto read = ParseExposition(beginning);
    EXPECT_TRUE(read.ok() || absl::IsInvalidArgument(read.status()));
  }
}

}  // namespace
}  // namespace lossd::cli::watch
