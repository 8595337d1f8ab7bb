// The parameters of the batcher. README.md in this folder says how to tune
// them.
#ifndef LOSSD_SERVER_BATCHING_OPTIONS_H_
#define LOSSD_SERVER_BATCHING_OPTIONS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lossd::batching {

// The caller checks the values: counts are at least 1 where nothing else is
// said.
struct BatcherOptions {
  int64_t max_batch_requests = 256;
  int64_t max_batch_elements = int64_t{1} << 18;
  // The most elements of a batch of a task whose tensors a device copies by
  // itself, if that is more than max_batch_elements. Such a batch costs its
  // thread no time for each element, only for each copy.
  int64_t max_direct_elements = 0;
  // A batch may be held open this long for more tasks.
  absl::Duration max_queue_delay = absl::ZeroDuration();
  // The number of batches that may be in flight at once, inline ones included.
  // At least this many threads call Take().
  int executors = 1;
  // The executors share the queue in batches that shrink as the queue does, so
  // that they end at about the same time. A batch is not made smaller than
  // this, because waking an executor would cost more than it saves.
  int64_t min_portion_elements = int64_t{1} << 15;  // D29
  // Batches of at most this many elements may run on the thread that enqueued
  // them (RunInline), because waking another thread costs more than computing
  // them; 0 disables that (D30).
  int64_t max_inline_elements = 0;
  // The elements that a flow is given in one turn while others wait
  // (deficit.h). They take about 30 us of one core, so each other flow makes a
  // small request wait that long. Batches go on across turns, so a small
  // quantum does not make batches smaller; but below this the bookkeeping of a
  // turn would be felt.
  int64_t flow_quantum_elements = int64_t{1} << 15;  // D31
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_OPTIONS_H_
