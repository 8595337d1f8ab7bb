// One entry of a ComputeLosses stream on its way through the batcher.
#ifndef LOSSD_SERVER_RPC_ENTRY_TASK_H_
#define LOSSD_SERVER_RPC_ENTRY_TASK_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/batching/task.h"
#include "server/rpc/call_context.h"
#include "server/rpc/loss_computation.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

class EntryTask;

// Brings tasks from the executors back to the thread of their stream. The tag
// comes out of the stream's queue once for all tasks that came back since the
// last TakeAll(), so the cost of waking the thread is shared. Add() is
// thread-safe and takes no lock; the rest belongs to the stream's thread.
class EntryReturns {
 public:
  // Borrows `queue`.
  EntryReturns(grpc::CompletionQueue* queue, RpcCall::Tag tag);
  ~EntryReturns();

  // Adds a task. The first task of an empty list lets the tag come; nothing of
  // the stream is touched after that, because it may end with the tag.
  void Add(EntryTask* task);

  // Keeps the tag from coming until TakeAll(), which must follow. Returns
  // false, and does nothing, if the tag is on its way.
  bool Hold();

  // Returns the tasks, oldest first, linked by `next`. Call it when the tag has
  // come, or after Hold().
  EntryTask* TakeAll();

 private:
  grpc::CompletionQueue* const queue_;
  RpcCall::Tag tag_;
  grpc::Alarm alarm_;
  // After Hold() the oldest is `held_`, which is no task but takes the place of
  // one.
  std::atomic<EntryTask*> newest_{nullptr};
  const std::unique_ptr<EntryTask> held_;
};

// The stream owns the task, uses it again and again, and is the only one to
// touch it but between Enqueue() and the return.
class EntryTask final : public batching::Task {
 public:
  // Borrows both.
  EntryTask(const CallContext* call_context, EntryReturns* returns)
      : computation(call_context), returns_(returns) {}

  // OK if the task was computed, and computed() says how. An error if it was
  // dropped.
  const absl::Status& outcome() const { return outcome_; }
  const batching::Computed& computed() const { return computed_; }

  // Gives a task that was taken out of the queue its outcome.
  void Drop(const absl::Status& why) { outcome_ = why; }

  // Releases all that is held of the entry.
  void Clear();

  void OnComputed(const batching::Computed& computed) override;
  void OnDropped(const absl::Status& why) override;

  // --- owned by the stream ---
  uint64_t id = 0;
  absl::Time received;
  LossComputation computation;
  admission::Permit permit;

  // --- owned by EntryReturns ---
  EntryTask* next = nullptr;

 private:
  EntryReturns* const returns_;
  absl::Status outcome_;
  batching::Computed computed_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_ENTRY_TASK_H_
