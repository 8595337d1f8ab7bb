// The entries of a ComputeLosses stream whose answer is not written yet.
#ifndef LOSSD_SERVER_RPC_OPEN_ENTRIES_H_
#define LOSSD_SERVER_RPC_OPEN_ENTRIES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/rpc/call_context.h"
#include "server/rpc/entry_task.h"

namespace lossd::rpc {

// An entry has a task until its answer is ready, and its id until that is
// written:
//
//   Open() -> [batcher, executor] -> EndTask() -> Close()
//
// Tasks are used again and again. Not thread-safe.
class OpenEntries {
 public:
  // Borrows both.
  OpenEntries(const CallContext* call_context, EntryReturns* returns)
      : call_context_(call_context), returns_(returns) {}

  // Opens an entry and returns its task, or null if the id is that of another
  // one.
  EntryTask* Open(uint64_t id);
  // Takes the task of the entry back.
  void EndTask(uint64_t id);
  // Forgets the entry, whose task has ended. Its id may come again.
  void Close(uint64_t id) { tasks_.erase(id); }

  // Returns how many entries have a task.
  size_t tasks() const { return tasks_in_use_; }

  // Takes the tasks that no executor has begun out of the queue, and returns
  // them.
  std::vector<EntryTask*> RemoveFromQueue();

  // Frees what is kept for further entries, but for so many tasks.
  void GiveMemoryBack(size_t kept_tasks);
  // Forgets all entries; tasks() is 0.
  void Clear() { tasks_.clear(); }

 private:
  const CallContext* const call_context_;
  EntryReturns* const returns_;
  std::vector<std::unique_ptr<EntryTask>> spare_;
  // By id. The task is null once it has ended.
  absl::flat_hash_map<uint64_t, std::unique_ptr<EntryTask>> tasks_;
  size_t tasks_in_use_ = 0;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_OPEN_ENTRIES_H_
