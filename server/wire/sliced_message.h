// A message in the making: small parts in one string, large ones where they
// lie.
#ifndef LOSSD_SERVER_WIRE_SLICED_MESSAGE_H_
#define LOSSD_SERVER_WIRE_SLICED_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace lossd::wire {

// Bytes are usually added at the end. Movable; not thread-safe.
class SlicedMessage {
 public:
  // Makes room for as many bytes outside of slices.
  void Reserve(size_t bytes) { tail_.reserve(bytes); }

  // The bytes since the last slice. A FieldWriter appends to it.
  std::string& tail() { return tail_; }

  // Adds memory without copying it.
  void AddSlice(grpc::Slice slice);

  // Adds a few bytes at the beginning.
  void Prepend(absl::string_view bytes);

  // Adds the bytes of another message.
  void Append(SlicedMessage message);

  size_t bytes() const { return sliced_bytes_ + tail_.size(); }

  // Returns the message for gRPC, and leaves this one empty.
  grpc::ByteBuffer Finish();

 private:
  void EndTail();

  std::string tail_;
  absl::InlinedVector<grpc::Slice, 4> slices_;
  size_t sliced_bytes_ = 0;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_SLICED_MESSAGE_H_
