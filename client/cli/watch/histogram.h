// Distributions as Prometheus' histograms have them.
#ifndef LOSSD_CLIENT_CLI_WATCH_HISTOGRAM_H_
#define LOSSD_CLIENT_CLI_WATCH_HISTOGRAM_H_

#include <optional>
#include <string>
#include <vector>

#include "client/cli/watch/exposition.h"

namespace lossd::cli::watch {

struct Histogram {
  struct Bucket {
    double bound = 0;  // the largest value in it
    double count = 0;  // values up to the bound, those of lower buckets too
  };
  // The bounds rise; the last one is infinity unless the histogram is empty.
  std::vector<Bucket> buckets;
  double count = 0;
  double sum = 0;

  // Returns the quantile, with `q` in [0, 1], as Prometheus' histogram_quantile
  // does: values lie evenly in their bucket, the first bucket begins at 0, and
  // a quantile above the highest finite bound is that bound. Returns nothing
  // for a histogram without values.
  std::optional<double> Quantile(double q) const;

  // Returns nothing for a histogram without values.
  std::optional<double> Mean() const;
};

// Returns the histogram NAME whose samples have `labels`, and none but `le`
// besides. It is empty if there is none.
Histogram HistogramOf(const Exposition& exposition, const std::string& name,
                      const Labels& labels = {});

// Returns the values that came between two readings of one histogram. If one of
// its counts went down, the histogram began anew between them, and all of
// `later` came since.
Histogram Between(const Histogram& earlier, const Histogram& later);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_HISTOGRAM_H_
