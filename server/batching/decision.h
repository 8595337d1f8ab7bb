// What the batcher decides, as pure functions of what waits and the time: no
// threads, no locks, no clock.
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
  bool begun = false;    // a task in it was partly given out
  bool closed = false;   // no more company will come
  absl::Time oldest = absl::InfiniteFuture();  // arrival
  absl::Time earliest_deadline =
      absl::InfiniteFuture();  // of what is not begun
  absl::Duration time_to_compute = absl::ZeroDuration();  // all of it, about
};

// Whether an idle executor takes a batch.
struct Timing {
  enum class Verdict { kNothing, kWait, kTake };
  Verdict verdict = Verdict::kNothing;
  absl::Time until = absl::InfiniteFuture();  // of kWait: decide again then
};

// Nothing while nothing waits or no executor is idle. Now, unless
// max_queue_delay holds the batch open: until the oldest has waited that long,
// a limit of the batch is reached, or a deadline would be missed. A clock that
// went back ends the hold.
Timing WhenToTake(const QueueView& queue, absl::Time now, int idle_executors,
                  const BatcherOptions& options);

// A task is dropped instead of taken from its deadline on.
inline bool IsExpired(absl::Time deadline, absl::Time now) {
  return now >= deadline;
}

// Elements that the next batch may hold: an executor's share of the queue,
// within min_portion_elements and max_batch_elements.
int64_t ElementLimit(int64_t queued_elements, const BatcherOptions& options);

// Batches that what waits would make, about; at least 1 if something waits.
int64_t BatchesWaiting(const QueueView& queue, const BatcherOptions& options);

// What a batch holds so far.
struct Filling {
  int64_t requests = 0;
  int64_t elements = 0;
};

// The next task in order.
struct HeadView {
  uint64_t element_count = 0;
  uint64_t next_block = 0;  // the first one that is left
  // False: its blocks may go to several batches, so that one huge request uses
  // every executor. True: all go into one, alone if it is over
  // max_batch_elements. So do those of tensors that lie on a device: nothing is
  // copied there that could overlap.
  bool whole = false;
};

// How many of its blocks go into a batch; 0: none, the batch is complete. An
// empty batch always gets some.
uint64_t BlocksToTake(const Filling& batch, int64_t element_limit,
                      const HeadView& head, const BatcherOptions& options);

// Elements of `blocks` blocks from `first_block` on; the last one may be short.
int64_t ElementsIn(uint64_t element_count, uint64_t first_block,
                   uint64_t blocks);

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_DECISION_H_
