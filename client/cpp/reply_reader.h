#ifndef LOSSD_CLIENT_CPP_REPLY_READER_H_
#define LOSSD_CLIENT_CPP_REPLY_READER_H_

#include "absl/status/statusor.h"
#include "client/cpp/loss.h"
#include "grpcpp/support/byte_buffer.h"

namespace lossd::client {

// Reads a ComputeLossResponse. Tensor payloads stay in the received slices; the
// small rest goes through the generated parser. A tensor that was answered as
// `values` becomes FLOAT64 data. INTERNAL if the bytes are no such message.
absl::StatusOr<LossResult> ReadReply(const grpc::ByteBuffer& reply);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_REPLY_READER_H_
