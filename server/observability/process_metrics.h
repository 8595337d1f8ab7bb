// Reads the operating system's counts of this process.
#ifndef LOSSD_SERVER_OBSERVABILITY_PROCESS_METRICS_H_
#define LOSSD_SERVER_OBSERVABILITY_PROCESS_METRICS_H_

#include <optional>
#include <string_view>
#include <vector>

namespace prometheus {
struct MetricFamily;
}

namespace lossd::observability {

// Fields of /proc/PID/stat, in the kernel's units.
struct ProcessStat {
  double cpu_ticks = 0;    // user and system
  double start_ticks = 0;  // after boot
  double virtual_bytes = 0;
  double resident_pages = 0;
  double threads = 0;
};

// Parses the line of /proc/PID/stat, in which the program's name may hold
// spaces and parentheses. Returns nothing if `stat` is not such a line.
std::optional<ProcessStat> ParseProcessStat(std::string_view stat);

// Returns the metrics process_*, without those whose values cannot be read.
std::vector<prometheus::MetricFamily> ProcessFamilies();

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_PROCESS_METRICS_H_
