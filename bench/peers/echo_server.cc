// echo_server: the peer that lossd is measured against. It answers ComputeLoss
// with the first bytes of the request, in the slices they came in, and so costs
// all that gRPC costs and nothing else.
#include <algorithm>
#include <vector>

#include "bench/peers/peer_server.h"
#include "lossd/v1/loss_service.grpc.pb.h"

namespace lossd::bench {
namespace {

// The cheapest service that gRPC has: every method is asynchronous, so that no
// other threads poll, and ComputeLoss is raw.
using EchoService = v1::LossService::WithRawMethod_ComputeLoss<
    v1::LossService::WithAsyncMethod_StreamLoss<
        v1::LossService::WithAsyncMethod_GetServerInfo<
            v1::LossService::Service>>>;

// Returns the first `size` bytes of `message`, which share its memory.
grpc::ByteBuffer Prefix(const grpc::ByteBuffer& message, size_t size) {  // D43
  std::vector<grpc::Slice> slices;
  if (!message.Dump(&slices).ok()) return {};
  size_t used = 0;
  for (; used < slices.size() && size > 0; ++used) {
    if (slices[used].size() > size) {
      slices[used] = slices[used].sub(0, size);
    }
    size -= slices[used].size();
  }
  return grpc::ByteBuffer(slices.data(), used);
}

class EchoCall final : public ComputeLossPeerCall<EchoService, grpc::ByteBuffer,
                                                  grpc::ByteBuffer> {
 public:
  // Answers with `reply_bytes` of the request's bytes; 0: with all.
  EchoCall(EchoService& service, grpc::ServerCompletionQueue& queue,
           int64_t reply_bytes)
      : ComputeLossPeerCall(service, queue),
        reply_bytes_(static_cast<size_t>(reply_bytes)) {}

 private:
  const grpc::ByteBuffer& Answer(grpc::ByteBuffer& request) override {
    if (reply_bytes_ > 0) request = Prefix(request, reply_bytes_);
    return request;
  }

  const size_t reply_bytes_;
};

}  // namespace
}  // namespace lossd::bench

int main(int argc, char** argv) {
  int64_t reply_bytes = 0;
  lossd::bench::EchoService service;
  return lossd::bench::RunPeer(
      {argv + std::min(argc, 1), argv + argc}, "echo_server",
      {{"reply_bytes", lossd::AtLeast(&reply_bytes, 0),
        "bytes of the request that a reply repeats; 0 repeats all"}},
      service, [&](grpc::ServerCompletionQueue& queue) {
        return std::make_unique<lossd::bench::EchoCall>(service, queue,
                                                        reply_bytes);
      });
}
