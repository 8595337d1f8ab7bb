// StreamLoss as a client makes it with generated code.
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

// What came back on a stream.
struct StreamAnswer {
  grpc::Status status;
  std::string gradient;
  std::string losses;
  std::optional<v1::StreamLossSummary> summary;
};

using Messages = std::vector<v1::StreamLossRequest>;

// Sends the messages from a thread of its own while it reads; half-closes.
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
  // With a deadline.
  OpenStream(RunningServer& server,
             std::chrono::system_clock::time_point deadline) {
    context_.set_deadline(deadline);
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
  // Reads what is left.
  grpc::Status Finish();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::StreamLossRequest, v1::StreamLossResponse>>
      stream_;
};

// The header of the stream that asks what `request` asks: what has as many
// elements as the logits comes in chunks, the rest in the header.
v1::StreamLossRequest HeaderOf(const v1::ComputeLossRequest& request);

// The header of a stream of so many float32 logits and targets.
v1::StreamLossRequest HeaderOfElements(int64_t elements);

// A chunk that holds bytes [from, to) of each tensor that comes in chunks,
// given as a part of the whole.
v1::StreamLossRequest ChunkOf(const v1::ComputeLossRequest& request,
                              double from, double to);

// Header and chunks cut at random places, inside elements too; at most `step`
// of the whole in each.
Messages CutAtRandom(const v1::ComputeLossRequest& request, double step,
                     std::mt19937& random);

// Header, and chunks of `elements` elements.
Messages Cut(const v1::ComputeLossRequest& request, int64_t elements);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_LOSS_STREAM_H_
