// Builds messages from small pieces and large slices.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_SLICE_BUILDER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_SLICE_BUILDER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/cpp/message/slice_tracker.h"

namespace lossd::client {

// Bytes that lie in slices and, after those, in a string.
struct MessagePieces {
  std::vector<grpc::Slice> slices;
  std::string tail;

  size_t bytes() const;
};

// Collects the pieces of a message in order: small ones are copied into
// strings, large ones become slices of the caller's memory. Not thread-safe.
class SliceBuilder {
 public:
  explicit SliceBuilder(SliceTracker& tracker) : tracker_(tracker) {}

  // Makes room for small pieces of this many bytes in all.
  void Reserve(size_t bytes) { small_.reserve(bytes); }

  // Returns the string to which small pieces are appended.
  std::string& small() { return small_; }

  // Puts tag and length of a length-delimited field; its bytes follow. All tags
  // of these messages are one byte, because their numbers are below 16.
  void OpenField(int number, size_t length);

  // Puts a field that is a varint.
  void PutVarintField(int number, uint64_t value);

  void PutVarint(uint64_t value);

  // Puts the bytes of the field that was opened last.
  void PutPayload(std::span<const std::byte> bytes);

  // Return the message, for gRPC or for a larger message. The builder is then
  // empty.
  grpc::ByteBuffer Finish();
  MessagePieces Take();

 private:
  // Makes a slice of the small pieces so far, because a large one comes next.
  void CloseSmall();

  SliceTracker& tracker_;
  std::string small_;
  std::vector<grpc::Slice> slices_;
};

// Appends the value in base 128, least significant group first.
void AppendVarint(uint64_t value, std::string* out);

// Returns the bytes that a varint takes.
size_t VarintSize(uint64_t value);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_SLICE_BUILDER_H_
