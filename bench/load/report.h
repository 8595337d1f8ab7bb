// The text of a report.
#ifndef LOSSD_BENCH_LOAD_REPORT_H_
#define LOSSD_BENCH_LOAD_REPORT_H_

#include <cstdint>
#include <string>

#include "bench/load/load.h"

namespace lossd::bench {

// The units in which a report counts its rates.
struct ReportScale {
  int64_t elements = 0;       // of one request
  int64_t request_bytes = 0;  // of one request
};

// Returns the report as JSON: counts, rates of the calls that succeeded (bytes
// of both ways), latency percentiles in microseconds, and errors by code.
std::string ReportJson(const LoadReport& report, const ReportScale& scale);

// Returns the report as a table for a person.
std::string ReportTable(const LoadReport& report, const ReportScale& scale);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_REPORT_H_
