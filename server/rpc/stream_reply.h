// StreamLossResponses as slices.
#ifndef LOSSD_SERVER_RPC_STREAM_REPLY_H_
#define LOSSD_SERVER_RPC_STREAM_REPLY_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>

#include "lossd/v1/loss_service.pb.h"
#include "server/base/buffer_pool.h"

namespace lossd::rpc {

// One of the response's `bytes` fields, by its number; the payload is lent and
// goes back to `pool` when gRPC has let go of it.
grpc::ByteBuffer WriteStreamBytes(uint32_t field, Buffer payload,
                                  const std::shared_ptr<BufferPool>& pool);

grpc::ByteBuffer WriteStreamSummary(v1::StreamLossSummary summary);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_REPLY_H_
