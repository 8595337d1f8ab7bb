// What the operating system knows of this process, under Prometheus' usual
// names.
#ifndef LOSSD_SERVER_OBSERVABILITY_PROCESS_METRICS_H_
#define LOSSD_SERVER_OBSERVABILITY_PROCESS_METRICS_H_

#include <optional>
#include <string_view>
#include <vector>

namespace prometheus {
struct MetricFamily;
}

namespace lossd::observability {

// Fields of /proc/PID/stat, as the kernel counts them.
struct ProcessStat {
  double cpu_ticks = 0;    // user and system
  double start_ticks = 0;  // after boot
  double virtual_bytes = 0;
  double resident_pages = 0;
  double threads = 0;
};

// Nothing if `stat` is not such a line. The program's name, which comes in it,
// may hold spaces and parentheses.
std::optional<ProcessStat> ParseProcessStat(std::string_view stat);

// process_cpu_seconds_total and so on. What cannot be read is left out.
std::vector<prometheus::MetricFamily> ProcessFamilies();

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_PROCESS_METRICS_H_
