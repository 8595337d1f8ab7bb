// The queue of waiting tasks, in the order in which they are taken.
#ifndef LOSSD_SERVER_BATCHING_QUEUE_H_
#define LOSSD_SERVER_BATCHING_QUEUE_H_

#include <cstdint>
#include <deque>

#include "absl/container/btree_set.h"
#include "server/batching/flows.h"
#include "server/batching/options.h"
#include "server/batching/task.h"

namespace lossd::batching {

// A range of blocks of one task.
struct Portion {
  Task* task;
  uint64_t first_block;
  uint64_t block_count;
};

// Begun tasks come first: at most one of which some blocks are given out, and
// the tasks that were put back for computing, the latest first. They cannot be
// removed and do not expire. Untouched tasks follow: flows take turns
// (flows.h), and within a flow the order is by deadline, then by arrival.
//
// Insert(), Remove() and GiveOut() are O(log n), all others O(1). Not
// thread-safe. Tasks are borrowed.
class TaskQueue {
 public:
  explicit TaskQueue(
      int64_t flow_quantum = BatcherOptions().flow_quantum_elements)
      : flows_(flow_quantum) {}

  // Adds a task of at least one block, prepared (task.h) and with `enqueued`
  // set.
  void Insert(Task* task);

  // Takes an untouched task out. Returns false if it is begun or not here.
  bool Remove(Task* task);

  // Makes a begun task the head, so that all its blocks are given out again.
  void PutBack(Task* task);

  bool empty() const { return begun_.empty() && flows_.empty(); }
  bool has_begun() const { return !begun_.empty(); }
  int64_t requests() const;
  int64_t elements() const { return elements_; }  // not given out yet

  // The task whose blocks are given out next. The queue is not empty.
  Task* head() const;
  // Gives out the next `blocks` blocks of the head. With the last one the task
  // leaves the queue.
  Portion GiveOut(uint64_t blocks);

  // The untouched task with the earliest deadline, whatever its flow; null if
  // no untouched task has a deadline.
  Task* first_to_expire() const;

  // The untouched task that has waited longest, or null.
  Task* oldest() const { return oldest_; }

  // Estimates the work that would be given out before a task of this flow that
  // came now.
  Work Ahead(uint64_t flow) const;

 private:
  // Takes a task out of the order of arrival and out of those that expire.
  void Unlink(Task* task);

  uint64_t arrivals_ = 0;
  int64_t elements_ = 0;
  std::deque<Task*> begun_;
  // The untouched tasks: in the order in which they are taken; those that have
  // a deadline; and by arrival, linked through Task::place.
  Flows flows_;
  absl::btree_set<TaskKey> expiring_;
  Task* oldest_ = nullptr;
  Task* newest_ = nullptr;
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_QUEUE_H_
