// The metrics of jobs, whatever they are.
#ifndef LOSSD_CLIENT_CLI_WATCH_JOB_TABLE_H_
#define LOSSD_CLIENT_CLI_WATCH_JOB_TABLE_H_

#include <map>
#include <string>

#include "client/cli/watch/exposition.h"

namespace lossd::cli::watch {

// Values by job, and by metric: lossd_job_waiting is "waiting". A counter such
// as lossd_job_requests_total has its rate, as "requests/s", and a histogram
// such as lossd_job_queue_seconds its 99th percentile, as "queue_seconds p99",
// if it took anything in.
using JobTable = std::map<std::string, std::map<std::string, double>>;

// Returns the table of all metrics that begin with lossd_job_. A job is the
// value of the label `job`, or of all labels where there is no such label. A
// job's samples with further labels are added up, but histograms are not.
JobTable JobsBetween(const Exposition& earlier, const Exposition& later,
                     double seconds);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_JOB_TABLE_H_
