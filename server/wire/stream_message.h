// Reads a StreamLossRequest off the wire without touching the tensors' bytes.
#ifndef LOSSD_SERVER_WIRE_STREAM_MESSAGE_H_
#define LOSSD_SERVER_WIRE_STREAM_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/wire/field.h"
#include "server/wire/slice_cursor.h"

namespace lossd::wire {

// One message of a stream at a time. As RequestParser does, it leaves all but
// the chunk's bytes to the generated parser and accepts exactly what that
// accepts. Not thread-safe.
class StreamMessage {
 public:
  // INVALID_ARGUMENT if the generated parser would not accept the buffer.
  absl::Status Parse(const grpc::ByteBuffer& buffer);

  // The message; the bytes of its chunk, if it has one, are in data().
  const v1::StreamLossRequest& message() const { return message_; }

  // The message's header, which the caller takes.
  v1::StreamLossHeader TakeHeader() {
    return std::move(*message_.mutable_header());
  }

  // The chunk's bytes of a tensor, sharing the buffer's memory. The caller may
  // take them.
  std::vector<grpc::Slice>& data(Field field) { return data_[field]; }

  // Lets go of everything.
  void Clear();

 private:
  bool Walk();
  // Walks a chunk that ends where `end` bytes are left.
  bool WalkChunk(SliceCursor& cursor, uint64_t end);
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
