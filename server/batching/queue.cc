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
  untouched_.insert(KeyOf(task));
  elements_ += ElementsLeft(*task);
}

bool TaskQueue::Remove(Task* task) {
  if (!task->place.untouched) return false;
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
  return static_cast<int64_t>(begun_.size() + untouched_.size());
}

Task* TaskQueue::head() const {
  return begun_.empty() ? untouched_.begin()->task : begun_.front();
}

Portion TaskQueue::GiveOut(uint64_t blocks) {
  Task* task = head();
  if (task->place.untouched) {
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

Task* TaskQueue::first_untouched() const {
  return untouched_.empty() ? nullptr : untouched_.begin()->task;
}

void TaskQueue::PopFirstUntouched() { Remove(first_untouched()); }

absl::Time TaskQueue::oldest() const {
  return oldest_ == nullptr ? absl::InfiniteFuture() : oldest_->enqueued;
}

void TaskQueue::Unlink(Task* task) {
  untouched_.erase(KeyOf(task));
  Task::Place& place = task->place;
  (place.older != nullptr ? place.older->place.newer : oldest_) = place.newer;
  (place.newer != nullptr ? place.newer->place.older : newest_) = place.older;
  place = {};
}

}  // namespace lossd::batching
