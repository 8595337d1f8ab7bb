// Writes requests of ComputeLoss.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_REQUEST_WRITER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_REQUEST_WRITER_H_

#include <grpcpp/support/byte_buffer.h>

#include <string>

#include "absl/status/status.h"
#include "client/cpp/message/loss.h"
#include "client/cpp/message/slice_builder.h"
#include "client/cpp/message/slice_tracker.h"

namespace lossd::client {

// Payloads of up to this many bytes are copied into the message, which costs
// less than slices of their own.
inline constexpr size_t kLargestCopiedPayload = 4096;

// Returns the bytes that the generated code would write for this request, field
// for field. Larger payloads are slices of `tracker`, not copies.
grpc::ByteBuffer WriteRequest(const LossRequest& request,
                              const std::string& request_id,
                              SliceTracker& tracker);

// Returns the same bytes, to be put into a larger message.
MessagePieces RequestPieces(const LossRequest& request,
                            const std::string& request_id,
                            SliceTracker& tracker);

// Returns OK, or INVALID_ARGUMENT for a generated message of more bytes than
// the generated code writes. A LossRequest may have more.
absl::Status CheckSerializable(size_t bytes);

// Returns the message for targets given by their ones; they must not be a
// TensorView.
v1::Tensor OnesMessage(const Targets& targets);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_REQUEST_WRITER_H_
