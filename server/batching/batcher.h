// The batcher: where admitted tasks wait, and how they become batches.
//
// It adds no delay of its own. An idle executor takes what waits at once, so a
// lone request never waits; while all executors are busy, tasks coalesce up to
// the limits of a batch. BatcherOptions::max_queue_delay may hold a batch open
// for more company.
//
// What is taken is decided by a pure function (decision.h) of the queue and the
// time.
#ifndef LOSSD_SERVER_BATCHING_BATCHER_H_
#define LOSSD_SERVER_BATCHING_BATCHER_H_

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/batching/cost.h"
#include "server/batching/decision.h"
#include "server/batching/options.h"
#include "server/batching/queue.h"
#include "server/batching/task.h"

namespace lossd::batching {

class Batcher;

// What one executor computes in one go. Move-only: holding it is what makes the
// executor busy; destroying it makes the executor idle again, so every portion
// must be dealt with before.
class Batch {
 public:
  Batch(Batch&& other) noexcept;
  Batch& operator=(Batch&&) = delete;
  ~Batch();

  // Puts a task whose blocks are all counted (Task::Phase), and which no batch
  // holds whole, at the head of the queue again: its blocks are given out once
  // more, for computing.
  void PutBack(Task* task);

  absl::InlinedVector<Portion, 8> portions;
  int64_t elements = 0;
  absl::Time taken;

 private:
  friend class Batcher;
  explicit Batch(Batcher* batcher) : batcher_(batcher) {}
  Batcher* batcher_;
  // As taken, whatever the executor does with the fields above.
  int64_t requests_out_ = 0;
  int64_t elements_out_ = 0;
};

// Computes batches; what the batcher is fed into. Run() deals with every
// portion of the batch: it finishes each task whose last block it computed, and
// puts back each whose last block it counted.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  virtual void Run(Batch batch) = 0;
};

// Thread-safe.
class Batcher {
 public:
  // `clock` is borrowed.
  Batcher(const BatcherOptions& options, const Clock* clock);
  ~Batcher();  // closed and empty by then

  // Puts a task of at least one block in the queue (flows take turns; within a
  // flow by deadline, then by arrival), and lets an idle executor know, unless
  // `may_run_inline` and the caller promises to call RunInline() next. After
  // Close() the task is dropped as UNAVAILABLE.
  void Enqueue(Task* task, bool may_run_inline = false);

  // Takes a task out of the queue if none of its blocks was given out: the
  // caller owns it alone again, and neither OnComputed() nor OnDropped() will
  // be called. False: an executor has it and will finish it, or it is being
  // dropped. The caller sees to it that the task still exists.
  bool Remove(Task* task);

  // Runs what waits on this thread as long as it is small (max_inline_elements)
  // and an executor is idle; wakes the executors' own threads for what is left.
  // It returns after a few batches even if more keeps coming: this thread has
  // other work.
  void RunInline(BatchRunner& runner);

  // For executors' threads: waits for work. Nothing after Close() once the
  // queue is empty. Tasks whose deadline has passed are dropped here, as
  // DEADLINE_EXCEEDED.
  std::optional<Batch> Take();

  // No more tasks; what waits is still taken.
  void Close();

  // Drops what waits, as `why`: the drain ran out of time. A task that an
  // executor has begun is still finished.
  void DropQueued(const absl::Status& why);

  // So many executors are gone for good, but not the last one: what waits is
  // given to, and expected of, the others. Batches that are out stay out.
  void LoseExecutors(int count);
  int executors() const;

  int64_t queued_requests() const;
  int64_t queued_elements() const;
  int busy_executors() const;

  // How long a task of this flow enqueued now would wait: what is out, and what
  // is queued and would be taken before it, at the cost of the last batches;
  // nothing while an executor is idle. For hopeless deadlines.
  absl::Duration ExpectedWait(uint64_t flow) const;

  // When a client that was refused should come again: ExpectedWait(), within 10
  // ms and 10 s.
  absl::Duration RetryAfter(uint64_t flow) const;

 private:
  friend class Batch;
  using Tasks = absl::InlinedVector<Task*, 16>;

  void PutBack(Task* task);
  // The batch is no longer out.
  void Return(const Batch& batch);

  QueueView View() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Tasks PopExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TryTake(absl::Time now, std::optional<Batch>* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Batch Fill(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Stamp(const Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int ThreadsWanted(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WakeAsNeeded(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Sleep(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // --- constant ---
  const int64_t max_inline_elements_;
  const Clock* const clock_;

  // --- guarded by mu_, under which no task and no runner is called ---
  mutable absl::Mutex mu_;
  BatcherOptions options_ ABSL_GUARDED_BY(mu_);  // but `executors` constant
  absl::CondVar work_;  // on which threads in Take() wait
  TaskQueue queue_ ABSL_GUARDED_BY(mu_);
  CostModel cost_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // Batches that are out, and what they hold.
  int out_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t requests_out_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t elements_out_ ABSL_GUARDED_BY(mu_) = 0;
  // Tasks that are given out for counting and will be put back.
  int counting_ ABSL_GUARDED_BY(mu_) = 0;
  // Threads that wait on work_: not signalled, and signalled but not awake yet.
  int sleeping_ ABSL_GUARDED_BY(mu_) = 0;
  int waking_ ABSL_GUARDED_BY(mu_) = 0;  // D32
  // When the thread that watches over max_queue_delay wakes by itself.
  absl::Time watch_until_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_BATCHER_H_
