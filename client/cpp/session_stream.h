// The stream under a session.
#ifndef LOSSD_CLIENT_CPP_SESSION_STREAM_H_
#define LOSSD_CLIENT_CPP_SESSION_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace lossd::client {

// One ComputeLosses RPC, as operations whose tags come out of a queue. At most
// one of each kind may be under way. Start each on any thread; the stream is
// destroyed when every tag has come.
class SessionStream {
 public:
  // `tags` become the tags of the operations.
  struct Tags {
    void* read;
    void* written;
    void* half_closed;
    void* finished;
  };

  // Opens a stream, which goes out with the first Write(). Borrows `queue`.
  SessionStream(const std::shared_ptr<grpc::Channel>& channel,
                const std::string& token, bool wait_for_ready,
                grpc::CompletionQueue* queue, const Tags& tags);

  void Write(const grpc::ByteBuffer& message) {
    call_->Write(message, tags_.written);
  }
  void HalfClose() { call_->WritesDone(tags_.half_closed); }
  void Read() { call_->Read(&message_, tags_.read); }
  void Finish() { call_->Finish(&status_, tags_.finished); }
  // May run at any time.
  void Cancel() { context_->TryCancel(); }

  // Returns what was read, after its tag.
  grpc::ByteBuffer TakeMessage();
  // Returns the status, after its tag.
  absl::Status status() const;

 private:
  const Tags tags_;
  // Members are destroyed in reverse, so that the context outlives the call.
  const std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer message_;
  grpc::Status status_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_STREAM_H_
