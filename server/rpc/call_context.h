// The parts of the server that calls work with.
#ifndef LOSSD_SERVER_RPC_CALL_CONTEXT_H_
#define LOSSD_SERVER_RPC_CALL_CONTEXT_H_

#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/base/buffer_pool.h"
#include "server/base/clock.h"
#include "server/batching/batcher.h"
#include "server/door/authenticator.h"
#include "server/observability/metrics.h"
#include "server/shared_memory/region_table.h"

namespace lossd::rpc {

// Borrowed, all thread-safe, and longer-lived than every call. Built by the
// composition root.
struct CallContext {
  const Clock* clock;
  admission::AdmissionController* admission;
  batching::Batcher* batcher;
  batching::BatchRunner* runner;  // for batches that run on the RPC thread
  std::string_view backend;       // the runner's name
  observability::Metrics* metrics;
  const door::Authenticator* authenticator;
  std::shared_ptr<BufferPool> buffers;  // shared with the slices inside gRPC
  // Null: requests with tensors in shared memory are UNIMPLEMENTED.
  const shared_memory::RegionTable* regions = nullptr;
  // After which a stream ends for whose client the server waits in vain.
  absl::Duration stream_idle_limit = absl::InfiniteDuration();
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_CALL_CONTEXT_H_
