// Who is served next when several connections wait: deficit round robin.
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

// The order within a flow, and of expiry: by deadline, then by arrival.
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

// How much waits.
struct Work {
  int64_t requests = 0;
  int64_t elements = 0;
};

// One connection's waiting tasks, and its place among the others.
struct Flow {
  // Its next turn, or the one that it is in. Within a round whoever had its
  // last turn (or came) first is first.
  struct Turn {
    uint64_t round = 0;
    uint64_t number = 0;
    Flow* flow = nullptr;  // null: not in the order of turns
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

// Flows that have tasks; one without any is forgotten at once, savings and all,
// so that connections that come and go leave nothing behind, and nobody saves
// up while idle. A new flow joins behind all that wait. A lone flow is served
// in its own order, without limit.
//
// Everything is O(log n) in tasks and flows. Not thread-safe. Tasks are
// borrowed, and their `place.in` is kept here.
class Flows {
 public:
  explicit Flows(int64_t quantum_elements) : quantum_(quantum_elements) {}

  // Puts a task into the flow that it names.
  void Add(Task* task);

  // Takes a task out of its flow, which is not charged for it.
  void Remove(Task* task);

  // Whose turn it is; there is a task.
  Task* next() const { return turns_.begin()->flow->tasks.begin()->task; }

  // Takes next() out and charges its flow.
  void TakeNext();

  bool empty() const { return turns_.empty(); }
  size_t size() const { return turns_.size(); }  // flows
  const Work& waiting() const { return waiting_; }

  // How much of what waits would be served before a task that came now for this
  // flow, with no deadline: its own, and the turns that others have meanwhile.
  Work Ahead(uint64_t flow) const;

 private:
  // Takes the task out of its flow's tasks.
  void Unlink(Task* task);
  void Forget(const Flow& flow);
  // Puts the flow where its savings and its first task say; behind the others
  // of its round if its turn is over.
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
