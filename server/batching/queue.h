// Where tasks wait, in the order in which they are taken.
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

// First the tasks that were begun, in the order in which they came to be so: at
// most one that is partly given out, and those put back for computing. They
// neither leave nor expire. Then the untouched ones: flows take turns
// (flows.h), and within a flow by deadline, then by arrival.
//
// Insert, Remove and the head's advance are O(log n); nothing is O(n). Not
// thread-safe. Tasks are borrowed.
class TaskQueue {
 public:
  explicit TaskQueue(
      int64_t flow_quantum = BatcherOptions().flow_quantum_elements)
      : flows_(flow_quantum) {}

  // A task of at least one block, prepared and with `enqueued` set.
  void Insert(Task* task);

  // Takes an untouched task out. False: it is begun, or is not here.
  bool Remove(Task* task);

  // A begun task of which all blocks are to be given out again; it becomes the
  // head.
  void PutBack(Task* task);

  bool empty() const { return begun_.empty() && flows_.empty(); }
  bool has_begun() const { return !begun_.empty(); }
  int64_t requests() const;
  int64_t elements() const { return elements_; }  // not given out

  // Whose blocks go out next; the queue is not empty.
  Task* head() const;
  // Gives out the next `blocks` blocks of the head, which leaves with its last
  // one.
  Portion GiveOut(uint64_t blocks);

  // The untouched task with the earliest deadline, whatever its flow; null: no
  // untouched task has one.
  Task* first_to_expire() const;

  // The untouched task that has waited longest, or null.
  Task* oldest() const { return oldest_; }

  // What would go out before a task of this flow that came now, about.
  Work Ahead(uint64_t flow) const;

 private:
  // Out of the arrivals and of those that expire.
  void Unlink(Task* task);

  uint64_t arrivals_ = 0;
  int64_t elements_ = 0;
  std::deque<Task*> begun_;
  // The untouched: in the order in which they are taken; those of them that
  // have a deadline; and by arrival, linked through Task::place.
  Flows flows_;
  absl::btree_set<TaskKey> expiring_;
  Task* oldest_ = nullptr;
  Task* newest_ = nullptr;
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_QUEUE_H_
