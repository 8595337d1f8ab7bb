// How batches are made: what the decisions (decision.h) and the batcher go by.
#ifndef LOSSD_SERVER_BATCHING_OPTIONS_H_
#define LOSSD_SERVER_BATCHING_OPTIONS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lossd::batching {

// All counts are at least 1 where not said otherwise; whoever fills this in
// checks.
struct BatcherOptions {
  int64_t max_batch_requests = 256;
  int64_t max_batch_elements = int64_t{1} << 18;
  absl::Duration max_queue_delay = absl::ZeroDuration();
  // How many batches may be out at once: the executors, inline ones included.
  // At least so many threads call Take().
  int executors = 1;
  // What waits is shared among the executors, in batches that shrink as the
  // queue does, so that they end at about the same time; but not below this,
  // where waking an executor costs more than it saves.
  int64_t min_portion_elements = int64_t{1} << 15;  // D29
  // Batches of at most so many elements may run on the thread that enqueued
  // them (RunInline); 0: never. Waking another thread costs more than such a
  // batch.
  int64_t max_inline_elements = 0;  // D30
  // What a flow is given in one turn while others wait (deficit.h): about 30 us
  // of one core, which is how long each other flow makes a small request wait.
  // A batch goes on across turns, so a small quantum costs no coalescing; but
  // below this the bookkeeping of a turn would begin to show.
  int64_t flow_quantum_elements = int64_t{1} << 15;  // D31
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_OPTIONS_H_
