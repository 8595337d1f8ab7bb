// The batcher: where admitted tasks wait, and how they become batches.
//
// It adds no delay of its own. An idle executor takes what waits at once, so a lone
// request never waits; while all executors are busy, tasks coalesce up to the limits
// of a batch. Options::max_queue_delay may hold a batch open for more company.
//
// What is taken is decided by a pure function (decision.h) of the queue and the time.
#ifndef LOSSD_SERVER_BATCHING_BATCHER_H_
#define LOSSD_SERVER_BATCHING_BATCHER_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/batching/task.h"

namespace lossd::batching {

class Batcher;

// A range of blocks of one task.
struct Portion {
  Task* task;
  uint64_t first_block;
  uint64_t block_count;
};

// What one executor computes in one go. Move-only: holding it is what makes the
// executor busy; destroying it makes the executor idle again, so every portion must
// be dealt with before.
class Batch {
 public:
  Batch(Batch&& other) noexcept;
  Batch& operator=(Batch&&) = delete;
  ~Batch();

  absl::InlinedVector<Portion, 8> portions;
  int64_t elements = 0;
  absl::Time taken;

 private:
  friend class Batcher;
  explicit Batch(Batcher* batcher) : batcher_(batcher) {}
  Batcher* batcher_;
};

// Computes batches; what the batcher is fed into. Run() deals with every portion of
// the batch: it finishes each task whose last block it computed.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  virtual void Run(Batch batch) = 0;
};

struct BatcherOptions {
  int64_t max_batch_requests = 256;
  int64_t max_batch_elements = int64_t{1} << 18;
  absl::Duration max_queue_delay = absl::ZeroDuration();
  // How many batches may be out at once: the executors, inline ones included.
  int executors = 1;
  // True: the blocks of one task may go to several batches, so that one huge request
  // uses every core. False: a task goes whole into one batch, alone if it is over
  // max_batch_elements.
  bool split_tasks = true;
  // Batches of at most so many elements may run on the thread that enqueued them
  // (RunInline); 0: never. Waking another thread costs more than such a batch.
  int64_t max_inline_elements = 0;
};

// Thread-safe.
class Batcher {
 public:
  // `clock` is borrowed.
  Batcher(const BatcherOptions& options, const Clock* clock);
  ~Batcher();  // closed and empty by then

  // Puts a task of at least one block in the queue, ordered by deadline, then by
  // arrival, and lets an idle executor know, unless `may_run_inline` and the caller
  // promises to call RunInline() next. After Close() the task is dropped as
  // UNAVAILABLE.
  void Enqueue(Task* task, bool may_run_inline = false);

  // Takes a task out of the queue if none of its blocks was given out: the caller
  // owns it alone again, and neither OnComputed() nor OnDropped() will be called.
  // False: an executor has it, and will finish it.
  bool Remove(Task* task);

  // Runs what waits on this thread as long as it is small (max_inline_elements) and an
  // executor is idle; wakes the executors' own threads for what is left.
  void RunInline(BatchRunner& runner);

  // For executors' threads: waits for work. Nothing after Close() once the queue is
  // empty. Tasks whose deadline has passed are dropped here, as DEADLINE_EXCEEDED.
  std::optional<Batch> Take();

  // No more tasks; what waits is still taken.
  void Close();

  // Drops what waits, as `why`: the drain ran out of time.
  void DropQueued(const absl::Status& why);

  int64_t queued_requests() const;
  int64_t queued_elements() const;
  int busy_executors() const;

  // How long a task enqueued now would wait: what is queued and out, at the rate of
  // the last batches. For hopeless deadlines and the retry time.
  absl::Duration ExpectedWait() const;

 private:
  friend class Batch;
  // server/batching fills this in.
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_BATCHER_H_
