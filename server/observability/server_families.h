// The scrape: shards added up, as families. All names, labels and help texts of
// what the server counts are in its source.
#ifndef LOSSD_SERVER_OBSERVABILITY_SERVER_FAMILIES_H_
#define LOSSD_SERVER_OBSERVABILITY_SERVER_FAMILIES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "server/observability/per_thread.h"
#include "server/observability/shard.h"

namespace prometheus {
struct MetricFamily;
}

namespace lossd::observability {

struct ServerFamilies {
  std::vector<prometheus::MetricFamily> families;
  // Totals over all tasks and batches, for Saturation.
  int64_t queue_nanoseconds = 0;
  int64_t compute_nanoseconds = 0;
};

// `backend`: labels that are known before they are first counted exist from the
// start, with 0; this is the backend whose compute time will come.
ServerFamilies CollectServer(const PerThread<Shard>& shards,
                             const std::string& backend);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_SERVER_FAMILIES_H_
