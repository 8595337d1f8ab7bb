// protobuf_echo_server: the peer that an ordinary good C++ server would be. It
// receives ComputeLoss as generated messages and answers with one whose
// gradient is a copy of the logits. It costs all that gRPC and its generated
// code cost, and no arithmetic.
#include <algorithm>

#include "bench/peers/peer_server.h"
#include "lossd/v1/loss_service.grpc.pb.h"

namespace lossd::bench {
namespace {

// Every method is asynchronous, so that no other threads poll.
using ProtobufEchoService = v1::LossService::WithAsyncMethod_ComputeLoss<
    v1::LossService::WithAsyncMethod_StreamLoss<
        v1::LossService::WithAsyncMethod_GetServerInfo<
            v1::LossService::Service>>>;

class ProtobufEchoCall final
    : public ComputeLossPeerCall<ProtobufEchoService, v1::ComputeLossRequest,
                                 v1::ComputeLossResponse> {
 public:
  using ComputeLossPeerCall::ComputeLossPeerCall;

 private:
  const v1::ComputeLossResponse& Answer(
      v1::ComputeLossRequest& request) override {
    *reply_.mutable_gradient() = request.logits();
    reply_.set_request_id(request.request_id());
    return reply_;
  }

  v1::ComputeLossResponse reply_;
};

}  // namespace
}  // namespace lossd::bench

int main(int argc, char** argv) {
  lossd::bench::ProtobufEchoService service;
  return lossd::bench::RunPeer(
      {argv + std::min(argc, 1), argv + argc}, "protobuf_echo_server", {},
      service, [&](grpc::ServerCompletionQueue& queue) {
        return std::make_unique<lossd::bench::ProtobufEchoCall>(service, queue);
      });
}
