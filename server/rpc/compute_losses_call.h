// One ComputeLosses RPC: many requests over one stream.
#ifndef LOSSD_SERVER_RPC_COMPUTE_LOSSES_CALL_H_
#define LOSSD_SERVER_RPC_COMPUTE_LOSSES_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/rpc/call_context.h"
#include "server/rpc/entry_answer.h"
#include "server/rpc/entry_backlog.h"
#include "server/rpc/entry_outbox.h"
#include "server/rpc/entry_task.h"
#include "server/rpc/idle_alarm.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/open_entries.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/entry_reader.h"

namespace lossd::rpc {

// Reads messages of several entries, has each entry computed as a request of
// its own, and writes the answers that are ready, all at once:
//
//   Read -> EntryBacklog -> EntryTask -> [batcher, executor] -> EntryReturns
//        -> EntryOutbox -> Write
//
// Nothing but a group of small entries, which are computed at once, waits so
// that a message gets fuller: a message has what became ready while the one
// before it was written. The next message is read only while few answers are
// outstanding, so a client that does not read is neither computed for nor read
// from. An entry is admitted like a call, and its permit goes back when the
// message with its answer is out. Entries beyond those few wait in the backlog.
// The call's permit stands for their bytes and shrinks as they are accepted, so
// an entry is never charged twice. Nothing waits for room in a budget: entries
// that find none are refused (D82).
//
// The first error of the stream itself ends it, after the answers to the
// entries that came before. When the client has gone, what waits is dropped and
// what is being computed is waited for.
//
// The server's headers go out at once. A client waits for them before it gives
// its tensors to gRPC, and takes the limit of a message from them.
//
// All of it runs on the call's RPC thread; tasks come back through its queue.
class ComputeLossesCall final : public RpcCall {
 public:
  // Borrows all three.
  ComputeLossesCall(const CallContext* call_context, LossService* service,
                    grpc::ServerCompletionQueue* queue);

  bool ended() const override;

 private:
  enum StreamEvent {
    kGreeted = kFirstOwnEvent,
    kRead,
    kWritten,
    kReturned,
    kIdle
  };
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
  // Sends the headers.
  void Greet();
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnReturned();
  void OnIdle();
  // The client is gone.
  void OnGone();

  // Accepts a group of the message's entries, unless so much is unanswered that
  // they have to wait, and computes small ones on this thread.
  void AcceptGroup();
  // Takes the oldest entry that waits, which is no longer charged as such.
  wire::Entry TakeWaiting();
  // Charges the entries that have to wait, or refuses them.
  void ChargeWaiting();
  // Begins an entry and returns true, or has its failure ready.
  bool Accept(wire::Entry entry);
  // Begins an entry that has an id of its own. Errors become its failure.
  absl::Status Begin(wire::Entry entry, EntryTask* task);
  // Has the answer to a task that came back ready.
  void Settle(EntryTask* task);
  // Has the answer ready, as the failure that `why` is.
  void Fail(EntryAnswer answer, const absl::Status& why);

  // Starts everything that can be started now.
  void Advance();
  void WriteAnswers();
  // Drops what nobody waits for any more.
  void DropAnswers();
  // Counts an answer, whose client sees `code`, and ends its trace.
  void CountAnswer(EntryAnswer& answer, absl::StatusCode code);
  // Decides the stream's end, unless it is decided.
  void End(const absl::Status& status);
  // Finishes the RPC with the status that was decided.
  void Finish();

  // Frees what is kept for further entries, but for so many tasks.
  void GiveMemoryBack(size_t kept_tasks);
  // Whether so much is unanswered that nothing more is read.
  bool full() const;

  LossService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Tag greeted_tag_{this, kGreeted};
  Tag read_tag_{this, kRead};
  Tag written_tag_{this, kWritten};
  IdleAlarm idle_alarm_;
  EntryReturns returns_;

  // --- state of one RPC; Release() resets it ---
  std::optional<Stream> stream_;
  grpc::ByteBuffer message_;
  EntryBacklog backlog_;  // permit_ stands for its bytes while they wait
  OpenEntries open_;
  EntryOutbox outbox_;
  int64_t held_bytes_ = 0;  // of the permits of entries
  int64_t entries_ = 0;     // that were accepted
  bool greeting_ = false;   // the headers are on their way
  uint64_t job_ = 0;        // of the entries in the backlog
  Reading reading_ = Reading::kPaused;
  Ending ending_ = Ending::kOpen;
  absl::Status end_;   // the answer, from kDecided on
  bool gone_ = false;  // nobody reads any more
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_COMPUTE_LOSSES_CALL_H_
