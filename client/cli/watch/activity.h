// The work of a server between two scrapes of its metrics.
#ifndef LOSSD_CLIENT_CLI_WATCH_ACTIVITY_H_
#define LOSSD_CLIENT_CLI_WATCH_ACTIVITY_H_

#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/cli/watch/exposition.h"
#include "client/cli/watch/job_table.h"

namespace lossd::cli::watch {

// The metrics of one moment.
struct Scrape {
  absl::Time time;
  Exposition metrics;
};

// Values by the text of their label, such as a status code.
using ByLabel = std::map<std::string, double>;

// The values that a histogram took in. Numbers are absent if there were none.
struct Distribution {
  double per_second = 0;
  std::optional<double> mean;
  std::optional<double> p50;
  std::optional<double> p90;
  std::optional<double> p99;
  // The bound of the lowest bucket. A percentile below it is only known to be
  // below it.
  std::optional<double> least;
};

using Distributions = std::map<std::string, Distribution>;

// Rates are per second of the time between the scrapes; all else is as the
// later one has it.
struct Activity {
  absl::Time time;
  absl::Duration interval;
  // True if the server's process is another than that of the earlier scrape.
  // Rates then count from its start.
  bool restarted = false;

  bool serving = false;
  std::string version;
  std::string backend;
  absl::Duration uptime;

  ByLabel requests;  // by status code
  ByLabel refused;   // by admission's reason
  ByLabel elements;  // by loss and dtype: "sigmoid_focal float32"
  double received_bytes = 0;
  double sent_bytes = 0;
  double device_errors = 0;
  Distributions request_seconds;  // by method
  Distributions compute_seconds;  // by backend
  Distribution queue_seconds;
  Distribution batch_requests;
  Distribution batch_elements;
  // The seconds that tasks waited per second of computing, as in
  // lossd_saturation, but over this interval. Absent if nothing was computed.
  std::optional<double> saturation;
  double cpu_cores = 0;

  double queue_depth = 0;
  double executors_busy = 0;
  double executors = 0;
  double inflight_requests = 0;
  double max_inflight_requests = 0;
  double inflight_bytes = 0;
  double max_inflight_bytes = 0;
  double shared_memory_bytes = 0;
  double lent_memory_bytes = 0;
  double resident_bytes = 0;
  ByLabel connections;  // by listener

  JobTable jobs;
};

// Returns the activity between two scrapes of one address. A counter that went
// down has begun anew, and all of it counts.
Activity ActivityBetween(const Scrape& earlier, const Scrape& later);

// Returns the sum of the values.
double Total(const ByLabel& values);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_ACTIVITY_H_
