// ComputeLossResponse as slices: a few header bytes, and the results where they
// lie.
#ifndef LOSSD_SERVER_RPC_REPLY_WRITER_H_
#define LOSSD_SERVER_RPC_REPLY_WRITER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/base/buffer_pool.h"
#include "server/batching/task.h"
#include "server/request/tensor.h"
#include "server/request/valid_request.h"

namespace lossd::rpc {

// What a reply is written from.
struct Reply {
  double loss = 0;
  const batching::Computed& computed;
  absl::Duration queue_time;
  absl::string_view request_id;
  const request::ValidRequest& request;
  Buffer losses;    // with request::ValidRequest::wants_losses()
  Buffer gradient;  // with request::ValidRequest::gradient_in_reply()
};

// A slice over a buffer, which goes back to `pool` when gRPC has let go of it:
// perhaps after the server is gone, hence the shared pointer.
grpc::Slice Lend(Buffer buffer, const std::shared_ptr<BufferPool>& pool);

// Memory for what the request wants back; the rest of the two stays empty.
// RESOURCE_EXHAUSTED if the system has none left.
absl::Status TakeResultBuffers(const request::ValidRequest& request,
                               BufferPool& pool, Buffer* losses,
                               Buffer* gradient);

// Takes the buffers. Large ones become slices and go back to `pool` when gRPC
// has let go of them, which may be after the server is gone: hence the shared
// pointer.
grpc::ByteBuffer WriteReply(Reply reply,
                            const std::shared_ptr<BufferPool>& pool);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_REPLY_WRITER_H_
