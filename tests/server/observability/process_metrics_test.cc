#include "server/observability/process_metrics.h"

#include <gtest/gtest.h>
#include <prometheus/metric_family.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lossd::observability {
namespace {

std::map<std::string, double> Values() {
  std::map<std::string, double> values;
  for (const auto& family : ProcessFamilies()) {
    const auto& sample = family.metric.at(0);
    values[family.name] = family.type == prometheus::MetricType::Counter
                              ? sample.counter.value
                              : sample.gauge.value;
  }
  return values;
}

TEST(ProcessStat, ReadsTheFieldsBehindANameWithSpacesAndParentheses) {
  const auto stat = ParseProcessStat(
      "12 (a ) b) (c) S 1 2 3 4 5 6 7 8 9 10 40 2 11 12 13 14 7 15 900 4096 21 "
      "22");
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->cpu_ticks, 42);
  EXPECT_EQ(stat->threads, 7);
  EXPECT_EQ(stat->start_ticks, 900);
  EXPECT_EQ(stat->virtual_bytes, 4096);
  EXPECT_EQ(stat->resident_pages, 21);
}

TEST(ProcessStat, RefusesWhatIsNotSuchALine) {
  for (const char* bad :
       {"", "12", "12 (name", "12 (name) S 1 2",
        "1 (x) S 1 2 3 4 5 6 7 8 9 10 a b 11 12 13 14 7 15 9 4 2"}) {
    EXPECT_FALSE(ParseProcessStat(bad).has_value()) << bad;
  }
}

TEST(ProcessFamilies, AreThoseOfThisProcess) {
  const auto values = Values();
  EXPECT_GT(values.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(values.at("process_virtual_memory_bytes"),
            values.at("process_resident_memory_bytes"));
  EXPECT_GE(values.at("process_cpu_seconds_total"), 0);
  EXPECT_GE(values.at("process_threads"), 1);
  EXPECT_GE(values.at("process_max_fds"), values.at("process_open_fds"));
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  // The kernel counts from a boot time in whole seconds.
  EXPECT_LE(values.at("process_start_time_seconds"), now + 1);
  EXPECT_GT(values.at("process_start_time_seconds"), now - 24 * 3600);
}

TEST(ProcessFamilies, CountAFileThatIsOpened) {
  const double before = Values().at("process_open_fds");
  std::ifstream file("/dev/null");
  EXPECT_EQ(Values().at("process_open_fds"), before + 1);
}

}  // namespace
}  // namespace lossd::observability
