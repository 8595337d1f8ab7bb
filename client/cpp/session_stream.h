// A stream under a session.
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
#include "absl/time/time.h"
#include "client/cpp/call.h"

namespace lossd::client {

// One ComputeLosses RPC, as operations whose tags come out of a queue. It
// begins with a greeting: the client's headers go out, and those of the server
// come back at once. Until then nothing of the caller's is in gRPC's hands.
// They also say which messages are too large for that very server, and after
// them gRPC's retry layer keeps no message for another attempt.
//
// At most one operation of each kind may be under way. Start each on any
// thread; the stream is destroyed when every tag has come.
class SessionStream {
 public:
  enum class Event {
    kAsked,
    kGreeted,
    kRead,
    kWritten,
    kHalfClosed,
    kFinished
  };
  // The address of a Tag comes out of the queue.
  struct Tag {
    SessionStream* stream;
    Event event;
  };

  // Begins the greeting: kAsked comes when the headers have gone to a server,
  // kGreeted when it has answered, or with false if it will not.
  // Borrows `queue`.
  SessionStream(uint64_t number, const std::shared_ptr<grpc::Channel>& channel,
                const Caller& caller, bool wait_for_ready,
                grpc::CompletionQueue* queue);

  SessionStream(const SessionStream&) = delete;
  SessionStream& operator=(const SessionStream&) = delete;

  // Sets max_message_bytes(), after kGreeted.
  void TakeGreeting();

  void Write(const grpc::ByteBuffer& message) {
    call_->Write(message, &written_);
  }
  void HalfClose() { call_->WritesDone(&half_closed_); }
  void Read() { call_->Read(&message_, &read_); }
  void Finish() { call_->Finish(&status_, &finished_); }
  // May run at any time.
  void Cancel() { context_->TryCancel(); }

  // Returns what was read, after its tag.
  grpc::ByteBuffer TakeMessage();
  // Says whether calls may be given to the stream.
  bool is_open() const { return asked && greeted && !broken; }
  // Returns the status, after its tag.
  absl::Status status() const;

  // --- owned by SessionCalls, under its lock ---
  const uint64_t number;  // among the streams of the session
  int tags = 2;           // that have yet to come
  // The most bytes that the server takes in a message, if it says so.
  int64_t max_message_bytes;
  // The tag of the headers is here. gRPC writes with the same operation as it
  // sends headers with, so no write may start before.
  bool asked = false;
  bool greeted = false;
  bool writing = false;
  bool broken = false;    // no write may start
  bool refuses = false;   // the server takes no more requests
  bool finished = false;  // nothing comes but the tags
  absl::Status why;       // of the end, if the status is not it
  // The time at which to see whether the stream stands still.
  absl::Time look_at = absl::InfiniteFuture();

 private:
  Tag asked_{this, Event::kAsked};
  Tag greeted_{this, Event::kGreeted};
  Tag read_{this, Event::kRead};
  Tag written_{this, Event::kWritten};
  Tag half_closed_{this, Event::kHalfClosed};
  Tag finished_{this, Event::kFinished};

  // Members are destroyed in reverse, so that the context outlives the call.
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer message_;
  grpc::Status status_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_STREAM_H_
