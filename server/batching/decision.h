// The decisions of the batcher, as pure functions of the queue and the time: no
// threads, no locks, no clock. All are thread-safe. README.md in this folder
// shows them as formulas.
#ifndef LOSSD_SERVER_BATCHING_DECISION_H_
#define LOSSD_SERVER_BATCHING_DECISION_H_

#include <cstdint>

#include "absl/time/time.h"
#include "server/batching/options.h"

namespace lossd::batching {

// The queue as a whole.
struct QueueView {
  int64_t requests = 0;
  int64_t elements = 0;  // not given out yet
  bool begun = false;    // some blocks of a task in it were given out
  bool closed = false;   // no more tasks will come
  // The first arrival and the first deadline among the tasks that are not
  // begun.
  absl::Time oldest = absl::InfiniteFuture();
  absl::Time earliest_deadline = absl::InfiniteFuture();
  absl::Duration time_to_compute = absl::ZeroDuration();  // estimated, for all
};

// The answer to the question whether an idle executor takes a batch.
struct Timing {
  enum class Verdict { kNothing, kWait, kTake };
  Verdict verdict = Verdict::kNothing;
  absl::Time until = absl::InfiniteFuture();  // with kWait: decide again then
};

// Decides whether a batch is taken. kNothing if nothing waits or no executor is
// idle; otherwise kTake, unless max_queue_delay holds the batch open. A hold
// lasts until the oldest task has waited that long, a limit of the batch is
// reached, or a deadline would be missed. A clock that went back ends it.
Timing WhenToTake(const QueueView& queue, absl::Time now, int idle_executors,
                  const BatcherOptions& options);

// Returns whether a task is dropped instead of taken: from its deadline on.
inline bool IsExpired(absl::Time deadline, absl::Time now) {
  return now >= deadline;
}

// Returns the number of elements that the next batch may hold: an executor's
// share of the queue, at least min_portion_elements and at most
// max_batch_elements.
int64_t ElementLimit(int64_t queued_elements, const BatcherOptions& options);

// Estimates the number of batches that the queue makes; at least 1 if a task
// waits.
int64_t BatchesWaiting(const QueueView& queue, const BatcherOptions& options);

// The contents of a batch so far.
struct Filling {
  int64_t requests = 0;
  int64_t elements = 0;
};

// The task whose blocks are given out next.
struct HeadView {
  uint64_t element_count = 0;
  uint64_t next_block = 0;  // the first one that is left
  // If false, the blocks may go to several batches, so that one huge request
  // uses every executor. If true, all its blocks go into one batch; if they
  // exceed max_batch_elements, that batch holds nothing else.
  bool indivisible = false;
  bool direct = false;  // a device copies its tensors by itself
};

// Returns ElementLimit() for a batch that this task begins or continues. The
// batch of a direct task may be larger: a sixteenth of the task, at most
// max_direct_elements. Smaller parts of a small task let its first copies out
// overlap with its last copies in.
int64_t ElementLimitOf(const HeadView& head, int64_t queued_elements,
                       const BatcherOptions& options);

// Returns how many blocks of the head go into a batch; 0 if the batch is
// complete. An empty batch always gets some.
uint64_t BlocksToTake(const Filling& batch, int64_t element_limit,
                      const HeadView& head, const BatcherOptions& options);

// Returns the elements of `blocks` blocks from `first_block` on; the last block
// of a task may be short.
int64_t ElementsIn(uint64_t element_count, uint64_t first_block,
                   uint64_t blocks);

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_DECISION_H_
