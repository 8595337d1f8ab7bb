#include "server/rpc/entry_task.h"

#include <utility>

#include "server/base/reusable_buffers.h"

namespace lossd::rpc {

EntryReturns::EntryReturns(grpc::CompletionQueue* queue, RpcCall::Tag tag)
    : queue_(queue),
      tag_(tag),
      held_(std::make_unique<EntryTask>(nullptr, nullptr)) {}

EntryReturns::~EntryReturns() = default;

bool EntryReturns::Hold() {
  EntryTask* nothing = nullptr;
  held_->next = nullptr;
  return newest_.compare_exchange_strong(nothing, held_.get(),
                                         std::memory_order_relaxed);
}

void EntryReturns::Add(EntryTask* task) {
  EntryTask* before = newest_.load(std::memory_order_relaxed);
  do {
    task->next = before;
  } while (!newest_.compare_exchange_weak(
      before, task, std::memory_order_release, std::memory_order_relaxed));
  if (before == nullptr) {
    alarm_.Set(queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &tag_);
  }
}

EntryTask* EntryReturns::TakeAll() {
  EntryTask* task = newest_.exchange(nullptr, std::memory_order_acquire);
  EntryTask* oldest = nullptr;
  while (task != nullptr) {
    EntryTask* const before = std::exchange(task->next, oldest);
    oldest = std::exchange(task, before);
  }
  if (oldest != nullptr && oldest == held_.get()) return oldest->next;
  return oldest;
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
}

}  // namespace lossd::rpc
