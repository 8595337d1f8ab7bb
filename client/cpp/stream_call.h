// A loss computed through StreamLoss.
#ifndef LOSSD_CLIENT_CPP_STREAM_CALL_H_
#define LOSSD_CLIENT_CPP_STREAM_CALL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cpp/call.h"
#include "client/cpp/message/loss.h"

namespace lossd::client {

// Computes a loss by a stream. Writes and reads at the same time on the calling
// thread, and returns when the stream is over and gRPC has dropped the tensors.
absl::StatusOr<LossResult> ComputeByStream(
    const std::shared_ptr<grpc::Channel>& channel, const Caller& caller,
    const LossRequest& request, const CallOptions& options);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_STREAM_CALL_H_
