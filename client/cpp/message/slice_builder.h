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

// Collects the pieces of a message in order: small ones are copied into
// strings, large ones become slices of the caller's memory. Not thread-safe.
class SliceBuilder {
 public:
  explicit SliceBuilder(SliceTracker& tracker) : tracker_(tracker) {}

  // Returns the string to which small pieces are appended.
  std::string& small() { return small_; }

  // Puts tag and length of a length-delimited field; its bytes follow. All tags
  // of these messages are one byte, because their numbers are below 16.
  void OpenField(int number, size_t length);

  // Puts the bytes of the field that was opened last.
  void PutPayload(std::span<const std::byte> bytes);

  // Returns the message. The builder is then empty.
  grpc::ByteBuffer Finish();

 private:
  // Puts the value in base 128, least significant group first.
  void PutVarint(uint64_t value);

  // Makes a slice of the small pieces so far, because a large one comes next.
  void CloseSmall();

  SliceTracker& tracker_;
  std::string small_;
  std::vector<grpc::Slice> slices_;
};

// Returns the bytes that a varint takes.
size_t VarintSize(uint64_t value);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_SLICE_BUILDER_H_
