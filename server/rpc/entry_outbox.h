// The answers of a ComputeLosses stream on their way out.
#ifndef LOSSD_SERVER_RPC_ENTRY_OUTBOX_H_
#define LOSSD_SERVER_RPC_ENTRY_OUTBOX_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <deque>
#include <vector>

#include "absl/types/span.h"
#include "server/rpc/entry_answer.h"
#include "server/rpc/send_progress.h"

namespace lossd::rpc {

// Answers gather here while the message before them is written, and go out
// together:
//
//   Add() -> NextMessage() -> [Write] -> EndMessage()
//
// Not thread-safe.
class EntryOutbox {
 public:
  // A message is closed when it has so many bytes, or one answer: clients
  // refuse messages of more than 4 MiB unless they are told otherwise.
  static constexpr size_t kFullMessageBytes = size_t{1} << 20;

  // Adds an answer that is ready. Its permit is marked as answered, because the
  // client may act on it before EndMessage().
  void Add(EntryAnswer answer);

  bool has_ready() const { return !ready_.empty(); }
  bool writing() const { return !message_.empty(); }
  bool empty() const { return size() == 0; }
  // Returns how many answers are not out yet.
  size_t size() const { return ready_.size() + message_.size(); }

  // Returns a message of those that are ready, the oldest first; has_ready()
  // and !writing().
  grpc::ByteBuffer NextMessage();
  // The answers in the message that is being written.
  absl::Span<EntryAnswer> in_message() { return absl::MakeSpan(message_); }
  // Drops the answers of the message, which is out or lost.
  void EndMessage() { message_.clear(); }

  // Takes the answers that will not be written, because nobody reads any more.
  std::deque<EntryAnswer> TakeReady();

  // Returns whether a part of the message went out since the last call.
  bool HasMoved() { return progress_.HasMoved(); }

  // Frees the memory that is kept for further answers; !writing().
  void GiveMemoryBack() { message_.shrink_to_fit(); }

 private:
  std::deque<EntryAnswer> ready_;
  std::vector<EntryAnswer> message_;
  SendProgress progress_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_ENTRY_OUTBOX_H_
