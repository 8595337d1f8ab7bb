#ifndef LOSSD_CLIENT_CPP_STREAM_CALL_H_
#define LOSSD_CLIENT_CPP_STREAM_CALL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cpp/call.h"
#include "client/cpp/loss.h"
#include "grpcpp/channel.h"

namespace lossd::client {

// Computes a loss through StreamLoss, writing and reading at the same time on
// the calling thread. Returns when it is over and the tensors are free.
absl::StatusOr<LossResult> ComputeByStream(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
    const LossRequest& request, const CallOptions& options);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_STREAM_CALL_H_
