// A ComputeLosses stream whose messages a test reads and writes itself.
#ifndef LOSSD_TESTS_CLIENT_CPP_FAKE_SESSION_SERVER_H_
#define LOSSD_TESTS_CLIENT_CPP_FAKE_SESSION_SERVER_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lossd/v1/loss_service.grpc.pb.h"

namespace lossd::client {

// Serves ComputeLosses on loopback by a function of the test's, which gets the
// stream and returns its status. ComputeLoss answers with the loss 7.
class FakeSessionServer final : public v1::LossService::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ComputeLossesResponse,
                                          v1::ComputeLossesRequest>;
  using Handler = std::function<grpc::Status(Stream&)>;

  struct Options {
    // Named in the headers unless it is 0.
    int64_t max_message_bytes = 0;
    // Otherwise the function sends the headers, or does not.
    bool greets = true;
  };

  explicit FakeSessionServer(Handler handler)
      : FakeSessionServer(std::move(handler), Options()) {}
  FakeSessionServer(Handler handler, const Options& options)
      : handler_(std::move(handler)), options_(options) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  ~FakeSessionServer() override {
    server_->Shutdown(std::chrono::system_clock::now());
  }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }

  grpc::Status ComputeLosses(grpc::ServerContext* context,
                             Stream* stream) override {
    if (options_.max_message_bytes > 0) {
      context->AddInitialMetadata("lossd-max-message-bytes",
                                  absl::StrCat(options_.max_message_bytes));
    }
    if (options_.greets) stream->SendInitialMetadata();
    return handler_(*stream);
  }

  grpc::Status ComputeLoss(grpc::ServerContext*, const v1::ComputeLossRequest*,
                           v1::ComputeLossResponse* response) override {
    response->set_loss(7);
    return grpc::Status::OK;
  }

 private:
  const Handler handler_;
  const Options options_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Answers each entry of a message with its id as the loss, and the logits as
// the gradient.
inline v1::ComputeLossesResponse AnswersTo(
    const v1::ComputeLossesRequest& request) {
  v1::ComputeLossesResponse answers;
  for (const auto& entry : request.entries()) {
    auto& answer = *answers.add_entries();
    answer.set_id(entry.id());
    answer.mutable_response()->set_loss(static_cast<double>(entry.id()));
    answer.mutable_response()->set_request_id(entry.request().request_id());
    *answer.mutable_response()->mutable_gradient() = entry.request().logits();
  }
  return answers;
}

}  // namespace lossd::client

#endif  // LOSSD_TESTS_CLIENT_CPP_FAKE_SESSION_SERVER_H_
