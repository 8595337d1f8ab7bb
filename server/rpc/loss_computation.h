// One ComputeLossRequest, from its bytes to those of its answer.
#ifndef LOSSD_SERVER_RPC_LOSS_COMPUTATION_H_
#define LOSSD_SERVER_RPC_LOSS_COMPUTATION_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"
#include "server/batching/task.h"
#include "server/request/valid_request.h"
#include "server/rpc/call_context.h"
#include "server/rpc/reply_writer.h"
#include "server/wire/request_parser.h"
#include "server/wire/sliced_message.h"

namespace lossd::rpc {

// The steps that a request takes wherever it came from, in their order:
//
//   Read() -> [admission of ChargedBytes()] -> Start() -> [batcher, executor]
//          -> Answer()
//
// Used again and again, so that it allocates little. Not thread-safe.
class LossComputation {
 public:
  // Borrows `call_context`.
  explicit LossComputation(const CallContext* call_context)
      : call_context_(call_context) {}

  // Parses and validates a request. `may_share` says whether its client may use
  // shared memory. Errors: those of RequestParser::Parse() and of
  // ValidRequest::Read().
  absl::Status Read(const grpc::ByteBuffer& message, bool may_share);
  // Reads a request whose bytes are those of the slices together.
  absl::Status Read(std::vector<grpc::Slice> slices, bool may_share);

  // Returns the bytes of the budget that the request needs.
  int64_t ChargedBytes() const;

  // Takes memory for the results and returns what is to be computed. Errors:
  // RESOURCE_EXHAUSTED if the system has no memory left.
  absl::StatusOr<kernels::Segment> Start();

  // Returns the ComputeLossResponse for a segment that was computed. Errors:
  // INVALID_ARGUMENT if an element is bad; the message names the first.
  absl::StatusOr<wire::SlicedMessage> Answer(const kernels::Segment& segment,
                                             batching::Computed computed,
                                             absl::Time received);

  // Returns what the request asks for, once it was read.
  const kernels::Segment& segment() const { return request_.segment(); }

  absl::string_view request_id() const {
    return parser_.request().request_id();
  }

  // Releases all that is held of the request.
  void Clear();

 private:
  void WriteRowLosses(const kernels::Segment& segment);

  const CallContext* const call_context_;
  size_t message_bytes_ = 0;
  wire::RequestParser parser_;
  request::ValidRequest request_;
  ResultBuffers results_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_LOSS_COMPUTATION_H_
