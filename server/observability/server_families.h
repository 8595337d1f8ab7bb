// Adds up what the threads have counted, as metric families. The names and help
// texts are in metric_list.h, the labels in the source.
#ifndef LOSSD_SERVER_OBSERVABILITY_SERVER_FAMILIES_H_
#define LOSSD_SERVER_OBSERVABILITY_SERVER_FAMILIES_H_

#include <cstdint>
#include <map>
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

// Returns the families of everything that the threads count. Labels that are
// known before they are first counted are there from the start, with 0.
// `backend` is such a label: the backend that will compute.
ServerFamilies CollectServer(const PerThread<Shard>& shards,
                             const std::string& backend);

// Returns the number of refused calls by reason, as Metrics::Refusals() says.
std::map<std::string, int64_t> CollectRefusals(const PerThread<Shard>& shards);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_SERVER_FAMILIES_H_
