// One entry of a ComputeLosses stream on its way through the batcher.
#ifndef LOSSD_SERVER_RPC_ENTRY_TASK_H_
#define LOSSD_SERVER_RPC_ENTRY_TASK_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/batching/task.h"
#include "server/rpc/call_context.h"
#include "server/rpc/loss_computation.h"
#include "server/rpc/rpc_call.h"
#include "server/tracing/call_trace.h"

namespace lossd::rpc {

class EntryTask;

// A task's place in EntryReturns.
struct EntryLink {
  EntryLink* next = nullptr;
};

// Brings tasks from the executors back to the thread of their stream. The tag
// comes out of the stream's queue once for all tasks that came back since the
// last TakeAll(), so the cost of waking the thread is shared. Add() is
// thread-safe and takes no lock; the rest belongs to the stream's thread.
class EntryReturns {
 public:
  // Borrows `queue`.
  EntryReturns(grpc::CompletionQueue* queue, RpcCall::Tag tag)
      : queue_(queue), tag_(tag) {}

  // Adds a task. The first task of an empty list lets the tag come; nothing of
  // the stream is touched after that, because it may end with the tag.
  void Add(EntryTask* task);

  // Keeps the tag from coming until TakeAll(), which must follow. Returns
  // false, and does nothing, if the tag is on its way.
  bool Hold();

  // Empties the list and gives its tasks to `take`, oldest first. Call it when
  // the tag has come, or after Hold().
  void TakeAll(absl::FunctionRef<void(EntryTask*)> take);

 private:
  grpc::CompletionQueue* const queue_;
  RpcCall::Tag tag_;
  grpc::Alarm alarm_;
  std::atomic<EntryLink*> newest_{nullptr};
  EntryLink held_;  // the oldest after Hold(), in place of a task
};

// The stream owns the task, uses it again and again, and is the only one to
// touch it but between Enqueue() and the return.
class EntryTask final : public batching::Task, public EntryLink {
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
  std::unique_ptr<tracing::CallTrace> trace;  // null unless it is sampled

 private:
  EntryReturns* const returns_;
  absl::Status outcome_;
  batching::Computed computed_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_ENTRY_TASK_H_
