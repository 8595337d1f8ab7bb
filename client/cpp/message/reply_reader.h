// Reads replies of ComputeLoss.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_REPLY_READER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_REPLY_READER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <span>

#include "absl/status/statusor.h"
#include "client/cpp/message/loss.h"

namespace lossd::client {

// Reads a ComputeLossResponse. Tensor payloads stay in the received slices, and
// the generated parser reads the rest. A tensor that was answered as `values`
// becomes FLOAT64 data. INTERNAL if the bytes are no such message.
absl::StatusOr<LossResult> ReadReply(const grpc::ByteBuffer& reply);

// Reads a reply whose bytes are those of the slices together. A reply in one
// slice is read fastest.
absl::StatusOr<LossResult> ReadReply(std::span<const grpc::Slice> reply);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_REPLY_READER_H_
