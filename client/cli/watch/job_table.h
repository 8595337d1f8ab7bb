// How training jobs go, between two scrapes.
#ifndef LOSSD_CLIENT_CLI_WATCH_JOB_TABLE_H_
#define LOSSD_CLIENT_CLI_WATCH_JOB_TABLE_H_

#include <map>
#include <string>

#include "client/cli/watch/exposition.h"

namespace lossd::cli::watch {

// Values by job and by what they say: "requests_per_second",
// "elements_per_second", "nan_per_second" (NaN logits), and for a job that
// computed something meanwhile "loss" (the mean of its elements),
// "gradient_norm" (of a request, root mean square), "positives" and "saturated"
// (shares of the elements).
using JobTable = std::map<std::string, std::map<std::string, double>>;

// Returns the table of lossd_job_*, with a row for each training job.
JobTable JobsBetween(const Exposition& earlier, const Exposition& later,
                     double seconds);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_JOB_TABLE_H_
