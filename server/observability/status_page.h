// The page that a person sees at the metrics address.
#ifndef LOSSD_SERVER_OBSERVABILITY_STATUS_PAGE_H_
#define LOSSD_SERVER_OBSERVABILITY_STATUS_PAGE_H_

#include <string>
#include <vector>

#include "server/observability/job_metrics.h"
#include "server/observability/log_line.h"

namespace lossd::observability {

// Returns an HTML page with whether the server is serving, with the facts of
// the line that the log has at the start, with a row for each training job, and
// with links to the other pages.
std::string StatusPage(bool serving, const LogFields& facts,
                       const std::vector<JobTotals>& jobs);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_STATUS_PAGE_H_
