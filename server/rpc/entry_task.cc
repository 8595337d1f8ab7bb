#include "server/rpc/entry_task.h"

#include <utility>

#include "server/base/reusable_buffers.h"

namespace lossd::rpc {

bool EntryReturns::Hold() {
  EntryLink* nothing = nullptr;
  return newest_.compare_exchange_strong(nothing, &held_,
                                         std::memory_order_relaxed);
}

void EntryReturns::Add(EntryTask* task) {
  EntryLink* before = newest_.load(std::memory_order_relaxed);
  do {
    task->next = before;
  } while (!newest_.compare_exchange_weak(
      before, task, std::memory_order_release, std::memory_order_relaxed));
  if (before == nullptr) {
    alarm_.Set(queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &tag_);
  }
}

void EntryReturns::TakeAll(absl::FunctionRef<void(EntryTask*)> take) {
  EntryLink* link = newest_.exchange(nullptr, std::memory_order_acquire);
  EntryLink* oldest = nullptr;
  while (link != nullptr) {
    EntryLink* const before = std::exchange(link->next, oldest);
    oldest = std::exchange(link, before);
  }
  while (oldest != nullptr) {
    // The task may be used again at once.
    EntryLink* const taken = std::exchange(oldest, oldest->next);
    taken->next = nullptr;
    if (taken != &held_) take(static_cast<EntryTask*>(taken));
  }
}

void EntryTask::OnComputed(const batching::Computed& computed) {
  outcome_ = absl::OkStatus();
  computed_ = computed;
  returns_->Add(this);
}

void EntryTask::OnDropped(const absl::Status& why) {
  outcome_ = why;
  returns_->Add(this);
}

void EntryTask::Clear() {
  segment = kernels::Segment();
  ClearForReuse(partials);
  rows = Rows();
  computation.Clear();
  permit = admission::Permit();
  trace.reset();
}

}  // namespace lossd::rpc
