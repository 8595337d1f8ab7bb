// Reads a StreamLossRequest off the wire without touching the tensors' bytes.
#ifndef LOSSD_SERVER_WIRE_STREAM_MESSAGE_H_
#define LOSSD_SERVER_WIRE_STREAM_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/wire/field.h"

namespace lossd::wire {

class WireReader;

// Reads one message of a stream at a time. Like RequestParser, it leaves
// everything but the bytes of the chunk's tensors to the generated parser and
// accepts exactly the messages that the generated parser accepts. Unknown
// fields may be lost. Not thread-safe.
class StreamMessage {
 public:
  // Errors: INVALID_ARGUMENT if the generated parser would not accept the
  // buffer. The message and its bytes are valid until the next Parse() or
  // Clear(); the buffer is not needed any more.
  absl::Status Parse(const grpc::ByteBuffer& buffer);

  // Returns the message. The bytes of its chunk, if it has one, are in data().
  const v1::StreamLossRequest& message() const { return message_; }

  // Moves the header out of the message.
  v1::StreamLossHeader TakeHeader() {
    return std::move(*message_.mutable_header());
  }

  // Returns the chunk's bytes of one tensor, which share the buffer's memory.
  // The caller may move them out.
  std::vector<grpc::Slice>& data(Field field) { return data_[field]; }

  // Releases the slices and empties the message.
  void Clear();

 private:
  bool Walk();
  // Walks a chunk that ends where `end` bytes are left.
  bool WalkChunk(WireReader& reader, uint64_t end);
  bool RewriteByGeneratedParser();
  void ForgetData();

  std::vector<grpc::Slice> slices_;
  std::string skeleton_;
  std::string chunk_skeleton_;
  v1::StreamLossRequest message_;
  PerField<std::vector<grpc::Slice>> data_;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_STREAM_MESSAGE_H_
