// Drives a ComputeLosses stream with generated code.
#ifndef LOSSD_TESTS_INTEGRATION_ENTRY_STREAM_H_
#define LOSSD_TESTS_INTEGRATION_ENTRY_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "lossd/v1/loss_service.grpc.pb.h"
#include "tests/integration/running_server.h"

namespace lossd {

class EntryStream {
 public:
  explicit EntryStream(RunningServer& server) : EntryStream(server.stub()) {}
  explicit EntryStream(v1::LossService::Stub& stub)
      : stream_(stub.ComputeLosses(&context_)) {}

  grpc::ClientContext& context() { return context_; }
  bool Write(const v1::ComputeLossesRequest& request) {
    return stream_->Write(request);
  }
  // Waits for the server's headers, and returns the value of one, or nothing.
  std::string Header(const std::string& name);
  void WritesDone() {
    if (!std::exchange(half_closed_, true)) stream_->WritesDone();
  }
  bool Read(v1::ComputeLossesResponse* response) {
    return stream_->Read(response);
  }
  // Reads `count` more answers, or all until the stream ends. Expects an id at
  // most once.
  std::map<uint64_t, v1::ComputeLossesResponse::Entry> Read(size_t count);
  // Half-closes if that is not done, expects no further answer, and returns the
  // status.
  grpc::Status Finish();

 private:
  bool half_closed_ = false;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ComputeLossesRequest,
                                           v1::ComputeLossesResponse>>
      stream_;
};

// Adds an entry to a message.
v1::ComputeLossesRequest::Entry& AddEntry(uint64_t id,
                                          const v1::ComputeLossRequest& request,
                                          v1::ComputeLossesRequest* message);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_ENTRY_STREAM_H_
