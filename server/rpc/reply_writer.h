// Writes replies as slices: a few header bytes, and the results where they lie.
#ifndef LOSSD_SERVER_RPC_REPLY_WRITER_H_
#define LOSSD_SERVER_RPC_REPLY_WRITER_H_

#include <grpcpp/support/slice.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/base/buffer_pool.h"
#include "server/batching/task.h"
#include "server/request/valid_request.h"
#include "server/wire/sliced_message.h"

namespace lossd::rpc {

// The memory of a request's results, as far as they go into the reply.
struct ResultBuffers {
  Buffer losses;             // with ValidRequest::wants_losses()
  Buffer second_derivative;  // with second_derivative_in_reply()
  Buffer gradient;           // with gradient_in_reply()
};

// The content of a ComputeLossResponse.
struct Reply {
  double loss = 0;
  const batching::Computed& computed;
  absl::Duration queue_time;
  absl::string_view request_id;
  const request::ValidRequest& request;
  ResultBuffers results;
};

// Returns a slice over a buffer, which goes back to `pool` when gRPC has
// released the slice. That may be after the server is gone, hence the shared
// pointer.
grpc::Slice SliceOver(Buffer buffer, const std::shared_ptr<BufferPool>& pool);

// Takes memory for the results that go into the reply. Errors:
// RESOURCE_EXHAUSTED if the system has none left.
absl::StatusOr<ResultBuffers> TakeResultBuffers(
    const request::ValidRequest& request, BufferPool& pool);

// Returns the reply's bytes, as the generated code would write them (D17).
// Large results are not copied: they become slices, see SliceOver().
wire::SlicedMessage WriteReply(Reply reply,
                               const std::shared_ptr<BufferPool>& pool);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_REPLY_WRITER_H_
