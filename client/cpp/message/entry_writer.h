// Writes the messages of ComputeLosses.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_ENTRY_WRITER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_ENTRY_WRITER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cpp/message/slice_builder.h"

namespace lossd::client {

// Puts requests into one ComputeLossesRequest. Not thread-safe.
class EntryWriter {
 public:
  // An entry has at most this many bytes beside those of its request.
  static constexpr size_t kMostExtraBytes = 64;

  // Adds a request under an id. The timeout is rounded up to nanoseconds; an
  // infinite one is left out, and a negative one counts as 0.
  void Add(uint64_t id, MessagePieces request, absl::Duration timeout);

  size_t bytes() const { return sliced_bytes_ + small_.size(); }
  int entries() const { return entries_; }

  // Returns the message. The writer is then empty.
  grpc::ByteBuffer Finish();

 private:
  void CloseSmall();

  std::string small_;
  std::vector<grpc::Slice> slices_;
  size_t sliced_bytes_ = 0;
  int entries_ = 0;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_ENTRY_WRITER_H_
