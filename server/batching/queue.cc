#include "server/batching/queue.h"

#include <cassert>

#include "server/batching/decision.h"

namespace lossd::batching {
namespace {

int64_t ElementsLeft(const Task& task) {
  return static_cast<int64_t>(task.segment.element_count -
                              task.next_block * kernels::kBlockElements);
}

}  // namespace

void TaskQueue::Insert(Task* task) {
  assert(task->segment.element_count > 0);
  task->place = {.arrival = arrivals_++, .untouched = true, .older = newest_};
  (newest_ != nullptr ? newest_->place.newer : oldest_) = task;
  newest_ = task;
  if (task->deadline != absl::InfiniteFuture()) {
    expiring_.insert(TaskKey(task));
  }
  flows_.Add(task);
  elements_ += ElementsLeft(*task);
}

bool TaskQueue::Remove(Task* task) {
  if (!task->place.untouched) return false;
  flows_.Remove(task);
  Unlink(task);
  elements_ -= ElementsLeft(*task);
  return true;
}

void TaskQueue::PutBack(Task* task) {
  task->next_block = 0;
  begun_.push_front(task);
  elements_ += ElementsLeft(*task);
}

int64_t TaskQueue::requests() const {
  return static_cast<int64_t>(begun_.size()) + flows_.waiting().requests;
}

Task* TaskQueue::head() const {
  return begun_.empty() ? flows_.next() : begun_.front();
}

Portion TaskQueue::GiveOut(uint64_t blocks) {
  Task* task = head();
  if (task->place.untouched) {
    flows_.TakeNext();
    Unlink(task);
    begun_.push_front(task);
  }
  const Portion portion = {task, task->next_block, blocks};
  const uint64_t elements = task->segment.element_count;
  elements_ -= ElementsIn(elements, portion.first_block, blocks);
  task->next_block += blocks;
  assert(task->next_block <= kernels::BlockCount(task->segment));
  if (task->next_block == kernels::BlockCount(task->segment))
    begun_.pop_front();
  return portion;
}

Task* TaskQueue::first_to_expire() const {
  return expiring_.empty() ? nullptr : expiring_.begin()->task;
}

Work TaskQueue::Ahead(uint64_t flow) const {
  // Begun tasks go first.
  Work ahead = flows_.Ahead(flow);
  ahead.requests += static_cast<int64_t>(begun_.size());
  ahead.elements += elements_ - flows_.waiting().elements;
  return ahead;
}

void TaskQueue::Unlink(Task* task) {
  if (task->deadline != absl::InfiniteFuture()) {
    expiring_.erase(TaskKey(task));
  }
  Task::Place& place = task->place;
  (place.older != nullptr ? place.older->place.newer : oldest_) = place.newer;
  (place.newer != nullptr ? place.newer->place.older : newest_) = place.older;
  place = {};
}

}  // namespace lossd::batching
