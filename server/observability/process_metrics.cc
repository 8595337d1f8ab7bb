#include "server/observability/process_metrics.h"

#include <prometheus/metric_family.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"
#include "base/file.h"
#include "server/observability/families.h"

namespace lossd::observability {
namespace {

// Returns when the machine was booted, in seconds since 1970.
std::optional<double> BootSeconds() {
  std::ifstream stat("/proc/stat");
  std::string word;
  double seconds = 0;
  while (stat >> word) {
    if (word == "btime" && stat >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<double> OpenFiles() {
  std::error_code error;
  std::filesystem::directory_iterator it("/proc/self/fd", error);
  double count = 0;
  while (!error && it != std::filesystem::directory_iterator()) {
    ++count;
    it.increment(error);
  }
  if (error) return std::nullopt;
  return count - 1;  // without the descriptor of this iteration
}

void AddStat(const ProcessStat& stat,
             std::vector<prometheus::MetricFamily>& out) {
  const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  out.push_back(FamilyOf(metric::kProcessCpuSeconds, stat.cpu_ticks * tick));
  // The time of the boot does not change, so it is read once.
  static const std::optional<double> boot = BootSeconds();
  if (boot.has_value()) {
    out.push_back(
        FamilyOf(metric::kProcessStartTime, *boot + stat.start_ticks * tick));
  }
  out.push_back(FamilyOf(metric::kProcessVirtualMemory, stat.virtual_bytes));
  out.push_back(FamilyOf(
      metric::kProcessResidentMemory,
      stat.resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
  out.push_back(FamilyOf(metric::kProcessThreads, stat.threads));
}

}  // namespace

std::optional<ProcessStat> ParseProcessStat(std::string_view stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::istringstream rest(std::string(stat.substr(name_end + 1)));
  const std::vector<std::string> words{std::istream_iterator<std::string>(rest),
                                       {}};
  // words[0] is field 3 of proc(5), the state.
  const auto field = [&](size_t number, double* value) {
    return number - 3 < words.size() &&
           absl::SimpleAtod(words[number - 3], value);
  };
  double user = 0;
  double system = 0;
  ProcessStat result;
  if (!field(14, &user) || !field(15, &system) || !field(20, &result.threads) ||
      !field(22, &result.start_ticks) || !field(23, &result.virtual_bytes) ||
      !field(24, &result.resident_pages)) {
    return std::nullopt;
  }
  result.cpu_ticks = user + system;
  return result;
}

std::vector<prometheus::MetricFamily> ProcessFamilies() {
  std::vector<prometheus::MetricFamily> families;
  const std::string text = ReadFile("/proc/self/stat").value_or("");
  if (const auto stat = ParseProcessStat(text)) {
    AddStat(*stat, families);
  }
  if (const std::optional<double> open = OpenFiles()) {
    families.push_back(FamilyOf(metric::kProcessOpenFds, *open));
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(
        FamilyOf(metric::kProcessMaxFds, static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace lossd::observability
