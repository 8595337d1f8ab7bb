// echo_server: the peer that lossd is measured against. It answers ComputeLoss
// with the first bytes of the request, in the slices they came in: everything
// that gRPC costs, and nothing else.
#include <vector>

#include "absl/flags/flag.h"
#include "bench/peers/peer_server.h"
#include "lossd/v1/loss_service.grpc.pb.h"

ABSL_FLAG(int64_t, reply_bytes, 0,
          "answer with that many of the request's bytes; 0: with all");

namespace lossd::bench {
namespace {

// Every method asynchronous, so that no other threads poll, and ComputeLoss
// raw: the cheapest service that gRPC has.
using EchoService = v1::LossService::WithRawMethod_ComputeLoss<
    v1::LossService::WithAsyncMethod_StreamLoss<
        v1::LossService::WithAsyncMethod_GetServerInfo<
            v1::LossService::Service>>>;

// The first `size` bytes of `message`, sharing its memory.
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
  using ComputeLossPeerCall::ComputeLossPeerCall;

 private:
  const grpc::ByteBuffer& Answer(grpc::ByteBuffer& request) override {
    if (reply_bytes_ > 0) request = Prefix(request, reply_bytes_);
    return request;
  }

  const size_t reply_bytes_ =
      static_cast<size_t>(absl::GetFlag(FLAGS_reply_bytes));
};

}  // namespace
}  // namespace lossd::bench

int main(int argc, char** argv) {
  lossd::bench::EchoService service;
  return lossd::bench::RunPeer(
      argc, argv, "echo_server", service,
      [&](grpc::ServerCompletionQueue& queue) {
        return std::make_unique<lossd::bench::EchoCall>(service, queue);
      });
}
