// The parts of the server that calls work with.
#ifndef LOSSD_SERVER_RPC_CALL_CONTEXT_H_
#define LOSSD_SERVER_RPC_CALL_CONTEXT_H_

#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/admission/intake.h"
#include "server/base/buffer_pool.h"
#include "server/base/clock.h"
#include "server/batching/batcher.h"
#include "server/door/authenticator.h"
#include "server/door/connections.h"
#include "server/observability/metrics.h"
#include "server/shared_memory/region_table.h"
#include "server/tracing/batch_span_processor.h"

namespace lossd::rpc {

// The parts are borrowed, thread-safe, and outlive every call. Server builds
// the struct.
struct CallContext {
  const Clock* clock;
  admission::AdmissionController* admission;
  admission::Intake* intake;
  batching::Batcher* batcher;
  // Runs batches on the RPC thread.
  batching::BatchRunner* runner;
  std::string_view backend;  // the name of `runner`
  observability::Metrics* metrics;
  const door::Authenticator* authenticator;
  const door::Connections* connections;
  std::shared_ptr<BufferPool> buffers;  // shared with the slices inside gRPC
  // Null if requests with tensors in shared memory are UNIMPLEMENTED.
  const shared_memory::RegionTable* regions = nullptr;
  // Takes the traces of sampled calls. Null if no call is traced.
  tracing::BatchSpanProcessor* spans = nullptr;
  // Whether the metadata lossd-flow of a call names its flow.
  bool trust_flow_header = false;
  // Whether the metadata lossd-job of a call is looked at.
  bool watches_jobs = false;
  // The idle limit: a stream whose client makes no progress for so long is
  // ended, and so is a call whose answer is not taken.
  absl::Duration stream_idle_limit = absl::InfiniteDuration();
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_CALL_CONTEXT_H_
