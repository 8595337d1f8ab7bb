// Calls services with raw messages, because their generated code is not
// installed.
#ifndef LOSSD_TESTS_INTEGRATION_RAW_STREAM_H_
#define LOSSD_TESTS_INTEGRATION_RAW_STREAM_H_

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "tests/integration/running_server.h"

namespace lossd {

// A server stream: one raw request, and raw responses.
class RawStream {
 public:
  // Sends a bearer token unless it is empty.
  RawStream(const RunningServer& server, const std::string& method,
            const std::string& request, const std::string& token = "")
      : stub_(server.channel()) {
    if (!token.empty())
      context_.AddMetadata("authorization", "Bearer " + token);
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::seconds(20));
    call_ = stub_.PrepareCall(&context_, method, &queue_);
    call_->StartCall(nullptr);
    Next();
    const grpc::Slice slice(request);
    call_->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(),
                     nullptr);
    Next();
  }
  ~RawStream() {
    context_.TryCancel();
    Finish();
    queue_.Shutdown();
    EXPECT_FALSE(Next());
  }
  // Returns the next message, or "end" if there is none.
  std::string Read() {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, nullptr);
    if (!Next()) return "end";
    grpc::Slice flat;
    EXPECT_TRUE(buffer.DumpToSingleSlice(&flat).ok());
    return std::string(reinterpret_cast<const char*>(flat.begin()),
                       flat.size());
  }

  // Returns the status, after Read() has returned "end".
  grpc::Status Finish() {
    if (!finished_) {
      call_->Finish(&status_, nullptr);
      Next();
      finished_ = true;
    }
    return status_;
  }

 private:
  bool Next() {
    void* tag;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::Status status_;
  bool finished_ = false;
};

// Field 1 of HealthCheckResponse is the status, and field 1 of
// HealthCheckRequest is the service.
inline const std::string kServing = "\x08\x01";
inline const std::string kNotServing = "\x08\x02";
inline std::string HealthRequest(const std::string& service) {
  if (service.empty()) return "";
  return std::string("\x0a") + static_cast<char>(service.size()) + service;
}

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_RAW_STREAM_H_
