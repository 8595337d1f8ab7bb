// A LossService whose answers a test decides.
#ifndef LOSSD_TESTS_CLIENT_CPP_FAKE_LOSS_SERVER_H_
#define LOSSD_TESTS_CLIENT_CPP_FAKE_LOSS_SERVER_H_

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

// A LossService on loopback whose ComputeLoss is a function of the test's.
class FakeLossServer final : public v1::LossService::Service {
 public:
  using Handler = std::function<grpc::Status(grpc::ServerContext&,
                                             const v1::ComputeLossRequest&,
                                             v1::ComputeLossResponse&)>;

  explicit FakeLossServer(Handler handler) : handler_(std::move(handler)) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  // Ends calls that are still in their handler.
  ~FakeLossServer() override {
    server_->Shutdown(std::chrono::system_clock::now());
  }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }

  grpc::Server& server() { return *server_; }

  grpc::Status ComputeLoss(grpc::ServerContext* context,
                           const v1::ComputeLossRequest* request,
                           v1::ComputeLossResponse* response) override {
    return handler_(*context, *request, *response);
  }

  grpc::Status GetServerInfo(grpc::ServerContext*,
                             const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    response->set_version("fake");
    return grpc::Status::OK;
  }

 private:
  const Handler handler_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Answers with the logits as the gradient and the request's id.
inline grpc::Status AnswerLogits(grpc::ServerContext&,
                                 const v1::ComputeLossRequest& request,
                                 v1::ComputeLossResponse& response) {
  response.set_loss(1.5);
  response.set_request_id(request.request_id());
  *response.mutable_gradient() = request.logits();
  return grpc::Status::OK;
}

}  // namespace lossd::client

#endif  // LOSSD_TESTS_CLIENT_CPP_FAKE_LOSS_SERVER_H_
