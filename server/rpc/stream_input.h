// Takes in the messages of one stream, until windows take their bytes.
#ifndef LOSSD_SERVER_RPC_STREAM_INPUT_H_
#define LOSSD_SERVER_RPC_STREAM_INPUT_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "server/request/stream_plan.h"
#include "server/rpc/stream_window.h"
#include "server/wire/field.h"
#include "server/wire/slice_queue.h"
#include "server/wire/stream_message.h"

namespace lossd::rpc {

// The number of elements by which one tensor may run ahead of another, from
// message to message (D25).
inline constexpr uint64_t kMaxSkewElements = kWindowElements * kMaxWindows;

// Reads the messages of one stream: the header becomes the plan, and the bytes
// of chunks wait in queues, in the slices in which they came, until a window
// takes them. Errors are INVALID_ARGUMENT and name the field. Not thread-safe.
class StreamInput {
 public:
  // Reads one message. Errors: bytes that are no message; a message out of
  // place; an invalid header; bytes that the header does not announce; more
  // bytes than a tensor has; tensors that arrive too far apart.
  absl::Status Take(const grpc::ByteBuffer& message);

  // Checks, once the client sends no more, that every tensor is complete.
  absl::Status CheckComplete() const;

  // Returns null until the header has arrived.
  const request::StreamPlan* plan() const { return plan_ ? &*plan_ : nullptr; }

  // Returns true if the bytes of the next window are there.
  bool HasWindow() const;
  // Moves the bytes of the next window to `window`, notes there which elements
  // it has, and returns their number. HasWindow() is true.
  uint64_t TakeWindow(StreamWindow* window);
  // Returns the number of elements that windows have taken.
  uint64_t taken_elements() const { return next_element_; }

  // Bytes that the header takes, and those that wait in the queues.
  uint64_t header_bytes() const { return header_bytes_; }
  uint64_t queued_bytes() const;

  // Makes the input as new.
  void Clear();

 private:
  absl::Status TakeHeader();
  absl::Status TakeChunk();
  absl::Status CheckSkew() const;
  // Returns the number of elements of the next window.
  uint64_t NextCount() const;

  wire::StreamMessage message_;
  std::optional<request::StreamPlan> plan_;
  wire::PerField<wire::SliceQueue> queues_;
  wire::PerField<uint64_t> arrived_;  // bytes since the beginning
  uint64_t header_bytes_ = 0;
  uint64_t next_element_ = 0;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_INPUT_H_
