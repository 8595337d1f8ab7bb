#include "server/batching/flows.h"

#include <algorithm>

#include "kernels/sigmoid_loss.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;

int64_t ElementsOf(const Task& task) {
  return static_cast<int64_t>(task.segment.element_count);
}

// The charge of the task that the flow has served next.
int64_t FirstCharge(const Flow& flow) {
  return ChargeOf(flow.tasks.begin()->task->segment.element_count);
}

}  // namespace

void Flows::Add(Task* task) {
  std::unique_ptr<Flow>& flow = by_id_[task->flow];
  if (flow == nullptr) {
    flow = std::make_unique<Flow>();
    flow->id = task->flow;
    // A new flow has no savings. Its first turn comes after those of the flows
    // that wait in this round, and before the second turn of the flow that is
    // served now.
    flow->savings.round = round_;
    flow->turn.number = ++turn_numbers_;
  }
  task->place.in = flow.get();
  flow->tasks.insert(TaskKey(task));
  for (Work* work : {&waiting_, &flow->waiting}) {
    ++work->requests;
    work->elements += ElementsOf(*task);
  }
  if (flow->tasks.begin()->task == task) Schedule(*flow);
}

void Flows::Remove(Task* task) {
  Flow& flow = *task->place.in;
  const bool was_first = flow.tasks.begin()->task == task;
  Unlink(task);
  if (flow.tasks.empty()) {
    Forget(flow);
  } else if (was_first) {
    Schedule(flow);
  }
}

void Flows::TakeNext() {
  Task* task = next();
  Flow& flow = *task->place.in;
  round_ = flow.turn.round;
  Unlink(task);
  if (flow.tasks.empty()) {
    Forget(flow);
    return;
  }
  const int64_t next_charge = FirstCharge(flow);
  flow.savings =
      AfterPaying(flow.savings, round_, ChargeOf(task->segment.element_count),
                  next_charge, quantum_);
  Schedule(flow, /*turn_is_over=*/flow.savings.elements < next_charge);
}

Work Flows::Ahead(uint64_t flow) const {
  const auto found = by_id_.find(flow);
  const Work own = found == by_id_.end() ? Work{} : found->second->waiting;
  const Work others = {.requests = waiting_.requests - own.requests,
                       .elements = waiting_.elements - own.elements};
  const auto other_flows =
      static_cast<double>(by_id_.size() - (found == by_id_.end() ? 0 : 1));
  // One turn for the task itself, and those that the flow's own tasks need
  // before it.
  const int64_t charge = std::max(own.elements, own.requests * kBlock);
  const int64_t rounds = 1 + charge / quantum_;
  // As floating-point numbers: the share may be more than any integer.
  const double share =
      other_flows * static_cast<double>(rounds) * static_cast<double>(quantum_);
  const double requests =
      std::min(static_cast<double>(others.requests), share / kBlock);
  const double elements = std::min(static_cast<double>(others.elements), share);
  return {.requests = own.requests + static_cast<int64_t>(requests),
          .elements = own.elements + static_cast<int64_t>(elements)};
}

void Flows::Unlink(Task* task) {
  Flow& flow = *task->place.in;
  flow.tasks.erase(TaskKey(task));
  for (Work* work : {&waiting_, &flow.waiting}) {
    --work->requests;
    work->elements -= ElementsOf(*task);
  }
  task->place.in = nullptr;
}

void Flows::Forget(const Flow& flow) {
  turns_.erase(flow.turn);
  by_id_.erase(flow.id);
}

void Flows::Schedule(Flow& flow, bool turn_is_over) {
  Flow::Turn turn = {.number = flow.turn.number, .flow = &flow};
  turn.round =
      std::max(round_, RoundOfTurn(flow.savings, FirstCharge(flow), quantum_));
  if (turn_is_over) turn.number = ++turn_numbers_;
  if (flow.turn.flow != nullptr) {
    if (turn == flow.turn) return;
    turns_.erase(flow.turn);
  }
  flow.turn = turn;
  turns_.insert(turn);
}

}  // namespace lossd::batching
