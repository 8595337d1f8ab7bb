#include "server/rpc/open_entries.h"

#include <utility>

namespace lossd::rpc {
namespace {

constexpr size_t kMaxSpareTasks = 128;

}  // namespace

EntryTask* OpenEntries::Open(uint64_t id) {
  const auto [place, is_new] = tasks_.try_emplace(id);
  if (!is_new) return nullptr;
  std::unique_ptr<EntryTask>& task = place->second;
  if (spare_.empty()) {
    task = std::make_unique<EntryTask>(call_context_, returns_);
  } else {
    task = std::move(spare_.back());
    spare_.pop_back();
  }
  task->id = id;
  ++tasks_in_use_;
  return task.get();
}

void OpenEntries::EndTask(uint64_t id) {
  std::unique_ptr<EntryTask> task = std::move(tasks_.find(id)->second);
  task->Clear();
  --tasks_in_use_;
  if (spare_.size() < kMaxSpareTasks) spare_.push_back(std::move(task));
}

std::vector<EntryTask*> OpenEntries::RemoveFromQueue() {
  std::vector<EntryTask*> removed;
  for (const auto& [id, task] : tasks_) {
    if (task != nullptr && call_context_->batcher->Remove(task.get())) {
      removed.push_back(task.get());
    }
  }
  return removed;
}

void OpenEntries::GiveMemoryBack(size_t kept_tasks) {
  if (spare_.size() > kept_tasks) spare_.resize(kept_tasks);
}

}  // namespace lossd::rpc
