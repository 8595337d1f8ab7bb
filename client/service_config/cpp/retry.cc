// Computes a loss of 2 MB of logits with gRPC's own retries:
// retry HOST:PORT service_config.json
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "lossd/v1/loss_service.grpc.pb.h"

namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& target,
                                       const std::string& service_config) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(service_config);
  // gRPC keeps a request of at most 256 KiB for another attempt unless this
  // says more.
  arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, 64 << 20);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[2]);
  const std::string config{std::istreambuf_iterator<char>(file), {}};
  const auto stub = lossd::v1::LossService::NewStub(Connect(argv[1], config));
  constexpr int64_t kElements = 1 << 19;
  lossd::v1::ComputeLossRequest request;
  for (auto* tensor : {request.mutable_logits(), request.mutable_targets()}) {
    tensor->add_shape(kElements);
    tensor->mutable_data()->assign(kElements * sizeof(float), '\0');
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(30));
  lossd::v1::ComputeLossResponse response;
  const grpc::Status status = stub->ComputeLoss(&context, request, &response);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error_message().c_str());
    return 1;
  }
  std::printf("%g\n", response.loss());
}
