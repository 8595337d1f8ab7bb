// Makes StreamLoss calls as a client does, with generated code.
#ifndef LOSSD_TESTS_INTEGRATION_LOSS_STREAM_H_
#define LOSSD_TESTS_INTEGRATION_LOSS_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.grpc.pb.h"
#include "tests/integration/running_server.h"

namespace lossd {

// Everything that came back on a stream.
struct StreamAnswer {
  grpc::Status status;
  std::string gradient;
  std::string losses;
  std::string second_derivative;
  std::optional<v1::StreamLossSummary> summary;
};

using Messages = std::vector<v1::StreamLossRequest>;

// Sends the messages from a thread of its own while it reads, then half-closes.
StreamAnswer RunStream(
    RunningServer& server, const Messages& messages,
    const std::function<void(grpc::ClientContext&)>& adjust =
        [](grpc::ClientContext&) {});

// A stream that a test drives step by step.
class OpenStream {
 public:
  explicit OpenStream(RunningServer& server) : OpenStream(server.stub()) {}
  explicit OpenStream(v1::LossService::Stub& stub)
      : stream_(stub.StreamLoss(&context_)) {}
  // A stream with a deadline.
  OpenStream(RunningServer& server,
             std::chrono::system_clock::time_point deadline) {
    context_.set_deadline(deadline);
    stream_ = server.stub().StreamLoss(&context_);
  }
  // A stream that names its flow.
  OpenStream(RunningServer& server, const std::string& flow) {
    context_.AddMetadata("lossd-flow", flow);
    stream_ = server.stub().StreamLoss(&context_);
  }
  grpc::ClientContext& context() { return context_; }
  bool Write(const v1::StreamLossRequest& request) {
    return stream_->Write(request);
  }
  void WritesDone() { stream_->WritesDone(); }
  bool Read(v1::StreamLossResponse* response) {
    return stream_->Read(response);
  }
  // Reads the rest of the responses and returns the status.
  grpc::Status Finish();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::StreamLossRequest, v1::StreamLossResponse>>
      stream_;
};

// Returns the header of the stream that asks what `request` asks. Tensors with
// as many elements as the logits come in chunks, the others in the header.
v1::StreamLossRequest HeaderOf(const v1::ComputeLossRequest& request);

// Returns the header of a stream of so many float32 logits and targets.
v1::StreamLossRequest HeaderOfElements(int64_t elements);

// Returns a chunk with the part [from, to) of each tensor that comes in chunks;
// 0 is a tensor's beginning and 1 is its end.
v1::StreamLossRequest ChunkOf(const v1::ComputeLossRequest& request,
                              double from, double to);

// Returns the header, and chunks that are cut at random places, inside elements
// too. A chunk has at most the part `step` of the whole.
Messages CutAtRandom(const v1::ComputeLossRequest& request, double step,
                     std::mt19937& random);

// Returns the header, and chunks of `elements` elements.
Messages Cut(const v1::ComputeLossRequest& request, int64_t elements);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_LOSS_STREAM_H_
