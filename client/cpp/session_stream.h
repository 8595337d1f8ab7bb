// The stream under a session.
#ifndef LOSSD_CLIENT_CPP_SESSION_STREAM_H_
#define LOSSD_CLIENT_CPP_SESSION_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "client/cpp/call.h"

namespace lossd::client {

// One ComputeLosses RPC, as operations whose tags come out of a queue. Before
// it, GetServerInfo is called on the same channel: that waits for a connection
// while nothing of the caller's is in gRPC's hands, and says which messages are
// too large.
//
// At most one operation of each kind may be under way. Start each on any
// thread; the stream is destroyed when every tag has come.
class SessionStream {
 public:
  // `tags` become the tags of the operations.
  struct Tags {
    void* greeted;
    void* read;
    void* written;
    void* half_closed;
    void* finished;
  };

  // Calls GetServerInfo. Borrows `queue`.
  SessionStream(std::shared_ptr<grpc::Channel> channel, const Caller& caller,
                bool wait_for_ready, grpc::CompletionQueue* queue,
                const Tags& tags);

  // Sets max_message_bytes() after the tag `greeted`. UNAVAILABLE if there is
  // no server. A server that fails otherwise may still serve the stream.
  absl::Status TakeGreeting();

  // The most bytes that the server takes in a message, if it says so.
  int64_t max_message_bytes() const { return max_message_bytes_; }

  // Opens the stream, which goes out with the first Write(). Requires
  // TakeGreeting().
  void Open();
  void Write(const grpc::ByteBuffer& message) {
    call_->Write(message, tags_.written);
  }
  void HalfClose() { call_->WritesDone(tags_.half_closed); }
  void Read() { call_->Read(&message_, tags_.read); }
  void Finish() { call_->Finish(&status_, tags_.finished); }
  // May run at any time, but not beside TakeGreeting().
  void Cancel();

  // Returns what was read, after its tag.
  grpc::ByteBuffer TakeMessage();
  // Returns the status, after its tag.
  absl::Status status() const;

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::CompletionQueue* const queue_;
  const Tags tags_;

  std::unique_ptr<Call> greeting_;  // null after TakeGreeting()
  int64_t max_message_bytes_;

  // Members are destroyed in reverse, so that the context outlives the call.
  const std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer message_;
  grpc::Status status_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_STREAM_H_
