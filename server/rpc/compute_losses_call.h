// One ComputeLosses RPC: many requests over one stream.
#ifndef LOSSD_SERVER_RPC_COMPUTE_LOSSES_CALL_H_
#define LOSSD_SERVER_RPC_COMPUTE_LOSSES_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/rpc/call_context.h"
#include "server/rpc/entry_answer.h"
#include "server/rpc/entry_task.h"
#include "server/rpc/idle_alarm.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/entry_reader.h"

namespace lossd::rpc {

// Reads messages of several entries, has each entry computed as a request of
// its own, and writes the answers that are ready, all at once:
//
//   Read -> ReadEntries() -> EntryTask -> [batcher, executor] -> EntryReturns
//        -> EntryAnswer -> Write
//
// Nothing but a group of small entries, which are computed at once, waits so
// that a message gets fuller: a message has what became ready while the one
// before it was written. The next message is read only while few answers are
// outstanding, so a client that does not read is neither computed for nor read
// from. An entry is admitted like a call, and its permit goes back when the
// message with its answer is out. Entries beyond those few wait as the bytes
// that they came as.
//
// The first error of the stream itself ends it, after the answers to the
// entries that came before. When the client has gone, what waits is dropped and
// what is being computed is waited for.
//
// All of it runs on the call's RPC thread; tasks come back through its queue.
class ComputeLossesCall final : public RpcCall {
 public:
  // Borrows all three.
  ComputeLossesCall(const CallContext* call_context, LossService* service,
                    grpc::ServerCompletionQueue* queue);

  bool ended() const override;

 private:
  enum StreamEvent { kRead = kFirstOwnEvent, kWritten, kReturned, kIdle };
  enum class Reading { kPaused, kReading, kClosed };
  enum class Ending { kOpen, kDecided, kFinishing };
  using Stream =
      grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  void RequestRpc() override;
  bool Handle(int event, bool ok) override;
  void Release(absl::StatusCode code) override;
  absl::string_view request_id() const override { return {}; }
  std::string LogDetail() const override;

  void OnRequest();
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnReturned();
  void OnIdle();
  // The client is gone.
  void OnGone();

  // Accepts a group of the message's entries, unless so much is unanswered that
  // they have to wait, and computes small ones on this thread.
  void AcceptWaiting();
  void RunInline();
  void ForgetWaiting();
  // Begins an entry, or has its failure ready.
  void Accept(wire::Entry entry);
  // Begins an entry that has an id of its own. Errors become its failure.
  absl::Status Begin(wire::Entry entry, EntryTask* task);
  // Has the answer to a task that came back ready.
  void Settle(EntryTask* task);
  // Has the answer ready, as the failure that `why` is.
  void Fail(EntryAnswer answer, const absl::Status& why);
  void AddAnswer(EntryAnswer answer);

  // Starts everything that can be started now.
  void Advance();
  void WriteAnswers();
  void CountAnswer(const EntryAnswer& answer, absl::StatusCode code);
  // Decides the stream's end, unless it is decided.
  void End(const absl::Status& status);

  std::unique_ptr<EntryTask> TakeTask();
  void PutTask(std::unique_ptr<EntryTask> task);
  // Frees what is kept for further entries, but for so many tasks.
  void GiveMemoryBack(size_t kept_tasks);
  // Whether so much is unanswered that nothing more is read.
  bool full() const;

  LossService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Tag read_tag_{this, kRead};
  Tag written_tag_{this, kWritten};
  IdleAlarm idle_alarm_;
  EntryReturns returns_;
  std::vector<std::unique_ptr<EntryTask>> spare_tasks_;

  // --- state of one RPC; Release() resets it ---
  std::optional<Stream> stream_;
  grpc::ByteBuffer message_;
  std::vector<wire::Entry> waiting_;  // those of the message read last
  size_t next_waiting_ = 0;           // how many of these were accepted
  absl::Time arrived_;                // when they came
  // The entries whose answer was not given to Write yet, by id. The task is
  // null once it is back.
  absl::flat_hash_map<uint64_t, std::unique_ptr<EntryTask>> unanswered_;
  size_t in_flight_ = 0;                      // how many the batcher has
  std::deque<EntryAnswer> ready_;             // answers that wait for Write
  std::vector<EntryAnswer> writing_answers_;  // those of the Write under way
  int64_t held_bytes_ = 0;                    // of the permits of all of these
  int64_t entries_ = 0;                       // that have arrived
  Reading reading_ = Reading::kPaused;
  Ending ending_ = Ending::kOpen;
  absl::Status end_;  // the answer, from kDecided on
  bool writing_ = false;
  bool gone_ = false;  // nobody reads any more

  // The batcher was given something that RunInline() has not seen.
  bool enqueued_ = false;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_COMPUTE_LOSSES_CALL_H_
