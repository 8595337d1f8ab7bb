// The order of the tasks of several connections: deficit round robin.
#ifndef LOSSD_SERVER_BATCHING_FLOWS_H_
#define LOSSD_SERVER_BATCHING_FLOWS_H_

#include <cstdint>
#include <memory>
#include <tuple>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "server/batching/deficit.h"
#include "server/batching/task.h"

namespace lossd::batching {

// Orders tasks by deadline, then by arrival: within a flow, and for expiry.
struct TaskKey {
  explicit TaskKey(Task* of)
      : deadline(of->deadline), arrival(of->place.arrival), task(of) {}
  bool operator<(const TaskKey& other) const {
    return std::tie(deadline, arrival) <
           std::tie(other.deadline, other.arrival);
  }

  absl::Time deadline;
  uint64_t arrival;
  Task* task;
};

// An amount of waiting work.
struct Work {
  int64_t requests = 0;
  int64_t elements = 0;
};

// The waiting tasks of one connection, and its place among the others. Not
// thread-safe.
struct Flow {
  // The next turn of a flow, or the one that it is in. Within a round the flow
  // comes first whose last turn (or whose arrival) was first.
  struct Turn {
    uint64_t round = 0;
    uint64_t number = 0;
    Flow* flow = nullptr;  // null while it is not in the order of turns
    bool operator==(const Turn&) const = default;
    bool operator<(const Turn& other) const {
      return std::tie(round, number) < std::tie(other.round, other.number);
    }
  };

  uint64_t id = 0;
  absl::btree_set<TaskKey> tasks;
  Work waiting;
  Savings savings;
  Turn turn;
};

// The flows that have waiting tasks. A flow without tasks is forgotten at once,
// with its savings: connections that come and go leave nothing behind, and no
// flow saves while it is idle. A new flow joins behind all that wait. A lone
// flow is served in its own order, without limit.
//
// Every operation is O(log n) in tasks and flows. Not thread-safe. Tasks are
// borrowed, and this class sets their `place.in`.
class Flows {
 public:
  explicit Flows(int64_t quantum_elements) : quantum_(quantum_elements) {}

  // Puts a task into the flow that it names.
  void Add(Task* task);

  // Takes a task out of its flow without charging the flow for it.
  void Remove(Task* task);

  // The first task of the flow whose turn it is. The flows are not empty.
  Task* next() const { return turns_.begin()->flow->tasks.begin()->task; }

  // Takes next() out and charges its flow.
  void TakeNext();

  bool empty() const { return turns_.empty(); }
  size_t size() const { return turns_.size(); }  // flows
  const Work& waiting() const { return waiting_; }

  // Estimates the work that would be served before a task of this flow that
  // came now without a deadline: the flow's own tasks, and the turns that the
  // other flows have meanwhile.
  Work Ahead(uint64_t flow) const;

 private:
  // Takes the task out of its flow's tasks.
  void Unlink(Task* task);
  void Forget(const Flow& flow);
  // Puts the flow into the order of turns, by its savings and its first task;
  // behind the others of its round if its turn is over.
  void Schedule(Flow& flow, bool turn_is_over = false);

  const int64_t quantum_;
  uint64_t round_ = 0;  // of the latest turn
  uint64_t turn_numbers_ = 0;
  Work waiting_;
  absl::btree_set<Flow::Turn> turns_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Flow>> by_id_;
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_FLOWS_H_
