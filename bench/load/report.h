#ifndef LOSSD_BENCH_LOAD_REPORT_H_
#define LOSSD_BENCH_LOAD_REPORT_H_

#include <cstdint>
#include <string>

#include "bench/load/load.h"

namespace lossd::bench {

// What a report's rates are counted in.
struct ReportScale {
  int64_t elements = 0;       // of one request
  int64_t request_bytes = 0;  // of one request
};

// The report as JSON: counts, rates of the calls that succeeded (bytes both
// ways), latency percentiles in microseconds, errors by code.
std::string ReportJson(const LoadReport& report, const ReportScale& scale);

// The same for a person.
std::string ReportTable(const LoadReport& report, const ReportScale& scale);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_REPORT_H_
