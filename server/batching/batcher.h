// The batcher: admitted tasks wait here and become batches. README.md in this
// folder explains the rules and how to tune them.
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

// The portions that one executor computes in one go. Holding a batch makes the
// executor busy, and destroying it makes the executor idle again: every portion
// must be dealt with before that. Move-only. One thread at a time may use it.
class Batch {
 public:
  Batch(Batch&& other) noexcept;
  Batch& operator=(Batch&&) = delete;
  ~Batch();

  // Puts a task at the head of the queue again, so that its blocks are given
  // out once more, for computing. All blocks of the task are counted
  // (Task::Phase), and several batches shared them.
  void PutBack(Task* task);

  absl::InlinedVector<Portion, 8> portions;
  int64_t elements = 0;
  absl::Time taken;

 private:
  friend class Batcher;
  explicit Batch(Batcher* batcher) : batcher_(batcher) {}
  Batcher* batcher_;
  // The contents as they were taken; an executor may change the fields above.
  int64_t taken_requests_ = 0;
  int64_t taken_elements_ = 0;
  bool inline_ = false;  // taken by RunInline()
};

// Computes batches. Thread-safe.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  // Deals with every portion of the batch: finishes each task whose last block
  // it computed, and puts back each task whose last block it counted.
  virtual void Run(Batch batch) = 0;
};

// The queue in front of the executors. Thread-safe.
//
// Latency. While an executor is idle, a task is taken in the moment in which it
// is enqueued: the batcher adds no delay of its own. While all are busy, tasks
// gather, up to the limits of a batch. A task that is the only one of its flow
// is taken after at most
//   - the rest of one batch in flight (max_batch_elements, or one task that may
//     not be divided),
//   - the rest of the tasks that are begun: at most two per executor, plus one
//     in all,
//   - one turn of each other flow that waits, for every flow_quantum_elements
//     that the task costs: a turn is that quantum, or the flow's largest task
//     if it is larger,
//   - max_queue_delay, which is 0 unless the operator chose otherwise.
// The executors share this work. Tasks of its own flow that go before it add
// themselves, and one more turn of each other flow per quantum of them.
// ExpectedWait() estimates the sum.
//
// Not for work that must keep an order: tasks may overtake one another.
class Batcher {
 public:
  // `clock` is borrowed.
  Batcher(const BatcherOptions& options, const Clock* clock);
  // Close() was called, nothing waits, and no batch is in flight.
  ~Batcher();

  // Puts a task in the queue (flows take turns; within a flow by deadline, then
  // by arrival) and wakes an idle executor for it. With `may_run_inline` nobody
  // is woken: the caller promises to call RunInline() next.
  //
  // Two kinds of tasks never enter the queue; their outcome is told before
  // Enqueue() returns. A task without elements is computed, with the answer of
  // an empty sum, even after Close(). After Close() any other task is dropped
  // as UNAVAILABLE.
  void Enqueue(Task* task, bool may_run_inline = false);

  // Takes a task out of the queue and returns true, if none of its blocks was
  // given out: the caller owns it alone again, and neither OnComputed() nor
  // OnDropped() will be called. Returns false if an executor has the task and
  // will finish it, or if it is being dropped. The caller makes sure that the
  // task still exists.
  bool Remove(Task* task);

  // Runs waiting tasks on this thread as long as all of them together are small
  // (max_inline_elements) and an executor is idle; wakes the executors' own
  // threads for the rest. Returns after at most 4 batches even if more tasks
  // keep coming, because this thread has other work.
  void RunInline(BatchRunner& runner);

  // Blocks until there is a batch for the calling executor's thread, and
  // returns it; returns nothing once the batcher is closed and the queue empty.
  // Drops tasks whose deadline has passed, as DEADLINE_EXCEEDED.
  std::optional<Batch> Take();

  // Ends the intake: Enqueue() drops later tasks. Waiting tasks are still
  // computed.
  void Close();

  // Drops all waiting tasks with the status `why`, because a drain ran out of
  // time. A task that an executor has begun is still finished.
  void DropQueued(const absl::Status& why);

  // Lowers the number of executors for good, though never below 1. Batches in
  // flight stay in flight.
  void LoseExecutors(int count);
  int executors() const;

  int64_t queued_requests() const;
  int64_t queued_elements() const;
  int busy_executors() const;

  // Estimates how long a task of this flow would wait if it were enqueued now:
  // the batches in flight and the queued tasks that go before it, at the cost
  // of the last batches. Zero while an executor is idle. Admission refuses a
  // request whose deadline is nearer than this.
  absl::Duration ExpectedWait(uint64_t flow) const;

 private:
  friend class Batch;
  using Tasks = absl::InlinedVector<Task*, 16>;

  void PutBack(Task* task);
  // Ends a batch: its executor is idle again.
  void Return(const Batch& batch);

  int idle_executors() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return options_.executors - batches_in_flight_;
  }
  QueueView View() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether Take() has nothing to wait for any more.
  bool Finished() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes the expired tasks out of the queue, at most 256 at once.
  Tasks PopExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes a batch if it is time for one.
  void TryTake(absl::Time now, std::optional<Batch>* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Batch Fill(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Notes in each task which batch was given its first block.
  void Stamp(const Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int ThreadsWanted(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WakeAsNeeded(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Sleep(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // --- constant ---
  const int64_t max_inline_elements_;
  const Clock* const clock_;

  // --- guarded by mu_; no task and no runner is called while it is held ---
  mutable absl::Mutex mu_;
  BatcherOptions options_ ABSL_GUARDED_BY(mu_);  // only `executors` changes
  absl::CondVar work_;  // on which threads in Take() wait
  TaskQueue queue_ ABSL_GUARDED_BY(mu_);
  CostModel cost_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // Batches in flight, and their contents as taken.
  int batches_in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t requests_in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t elements_in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  // Calls of BatchRunner::Run() by RunInline() that have not returned yet.
  int inline_runs_ ABSL_GUARDED_BY(mu_) = 0;
  // Tasks that are given out for counting and will be put back.
  int counting_ ABSL_GUARDED_BY(mu_) = 0;
  // Threads that wait on work_: not signalled, and signalled but not awake yet.
  int sleeping_ ABSL_GUARDED_BY(mu_) = 0;
  int waking_ ABSL_GUARDED_BY(mu_) = 0;  // D32
  // The time at which the thread that watches over max_queue_delay wakes by
  // itself.
  absl::Time watch_until_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_BATCHER_H_
