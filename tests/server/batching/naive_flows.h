// Deficit round robin as in a textbook, with loops over everything.
#ifndef LOSSD_TESTS_SERVER_BATCHING_NAIVE_FLOWS_H_
#define LOSSD_TESTS_SERVER_BATCHING_NAIVE_FLOWS_H_

#include <algorithm>
#include <cstdint>
#include <list>
#include <vector>

#include "kernels/sigmoid_loss.h"
#include "server/batching/task.h"

namespace lossd::batching {

// Keeps the promises of server/batching/flows.h, one quantum and one flow at a
// time. Not thread-safe.
class NaiveFlows {
 public:
  explicit NaiveFlows(int64_t quantum) : quantum_(quantum) {}

  void Add(Task* task) {
    auto flow = Find(task->flow);
    if (flow == line_.end()) flow = line_.insert(flow, Line{task->flow, 0, {}});
    flow->tasks.push_back(task);
  }

  void Remove(Task* task) {
    auto flow = Find(task->flow);
    std::erase(flow->tasks, task);
    if (flow->tasks.empty()) line_.erase(flow);
  }

  // Takes the next task out. There is one.
  Task* TakeNext() {
    for (;;) {
      for (auto flow = line_.begin(); flow != line_.end(); ++flow) {
        if (flow->saved >= Charge(First(*flow))) return Serve(flow);
      }
      for (Line& flow : line_) flow.saved += quantum_;
    }
  }

 private:
  // A flow in the line of those that wait. A flow that was served goes to the
  // end of the line.
  struct Line {
    uint64_t id;
    int64_t saved;
    std::vector<Task*> tasks;  // by arrival
  };

  std::list<Line>::iterator Find(uint64_t id) {
    return std::find_if(line_.begin(), line_.end(),
                        [&](const Line& flow) { return flow.id == id; });
  }
  static Task* First(const Line& flow) {
    return *std::min_element(
        flow.tasks.begin(), flow.tasks.end(),
        [](const Task* a, const Task* b) { return a->deadline < b->deadline; });
  }
  static int64_t Charge(const Task* task) {
    return static_cast<int64_t>(kernels::BlockCount(task->segment)) *
           kernels::kBlockElements;
  }

  Task* Serve(std::list<Line>::iterator flow) {
    Task* task = First(*flow);
    flow->saved -= Charge(task);
    std::erase(flow->tasks, task);
    if (flow->tasks.empty()) {
      line_.erase(flow);
      return task;
    }
    const int64_t next = Charge(First(*flow));
    flow->saved = std::min(flow->saved, std::max(quantum_, next));
    if (flow->saved < next) line_.splice(line_.end(), line_, flow);
    return task;
  }

  const int64_t quantum_;
  std::list<Line> line_;
};

}  // namespace lossd::batching

#endif  // LOSSD_TESTS_SERVER_BATCHING_NAIVE_FLOWS_H_
