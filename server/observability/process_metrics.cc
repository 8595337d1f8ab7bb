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
#include "server/observability/families.h"

namespace lossd::observability {
namespace {

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file),
          std::istreambuf_iterator<char>()};
}

// When the machine was booted, in seconds since 1970.
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
  return count - 1;  // without the one that was opened to look
}

void AddStat(const ProcessStat& stat,
             std::vector<prometheus::MetricFamily>& out) {
  const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  out.push_back(CounterFamily("process_cpu_seconds_total",
                              "User and system CPU time spent, in seconds.",
                              stat.cpu_ticks * tick));
  // Read once: it does not change.
  static const std::optional<double> boot = BootSeconds();
  if (boot.has_value()) {
    out.push_back(
        GaugeFamily("process_start_time_seconds",
                    "When the process started, in seconds since 1970.",
                    *boot + stat.start_ticks * tick));
  }
  out.push_back(GaugeFamily("process_virtual_memory_bytes",
                            "Size of the address space, in bytes.",
                            stat.virtual_bytes));
  out.push_back(GaugeFamily(
      "process_resident_memory_bytes", "Memory that is resident, in bytes.",
      stat.resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
  out.push_back(
      GaugeFamily("process_threads", "Threads of the process.", stat.threads));
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
  if (const auto stat = ParseProcessStat(ReadAll("/proc/self/stat"))) {
    AddStat(*stat, families);
  }
  if (const std::optional<double> open = OpenFiles()) {
    families.push_back(
        GaugeFamily("process_open_fds", "Open file descriptors.", *open));
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(GaugeFamily("process_max_fds",
                                   "Most file descriptors that may be open.",
                                   static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace lossd::observability
