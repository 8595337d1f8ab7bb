#include "tests/integration/running_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"

namespace lossd {

namespace {

// A wait ends sooner unless a defect, or a machine with much other work, is why
// nothing happens.
constexpr absl::Duration kPatience = absl::Seconds(60);

Config OnAnyPort(Config config) {
  config.listen = "127.0.0.1:0";
  config.metrics_listen = "127.0.0.1:0";
  return config;
}

}  // namespace

RunningServer::RunningServer(const Config& config,
                             const DeviceOpener& open_devices)
    : config_(OnAnyPort(config)) {
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Create(config_, open_devices);
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    std::abort();
  }
  server_ = *std::move(server);
  channel_ = AnotherConnection();
  stub_ = v1::LossService::NewStub(channel_);
}

RunningServer::~RunningServer() {
  CountAll();
  EXPECT_EQ(server_->inflight_requests(), 0);
  EXPECT_EQ(server_->inflight_bytes(), 0);
  EXPECT_EQ(Counter("lossd_accepted_total"), Counter("lossd_requests_total"));
}

std::shared_ptr<grpc::Channel> RunningServer::AnotherConnection(
    grpc::ChannelArguments arguments) const {
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(
      server_->address(), grpc::InsecureChannelCredentials(), arguments);
}

grpc::Status RunningServer::Call(const v1::ComputeLossRequest& request,
                                 v1::ComputeLossResponse* response) {
  grpc::ClientContext context;
  return stub_->ComputeLoss(&context, request, response);
}

grpc::Status RunningServer::CallRaw(const std::string& bytes) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer reply;
  grpc::Status status;
  absl::Notification done;
  stub.UnaryCall(&context, "/lossd.v1.LossService/ComputeLoss",
                 grpc::StubOptions(), &request, &reply, [&](grpc::Status s) {
                   status = std::move(s);
                   done.Notify();
                 });
  done.WaitForNotification();
  return status;
}

double RunningServer::Counter(const std::string& name,
                              const std::string& code) const {
  double sum = 0;
  for (const auto& family : server_->metrics().collectable()->Collect()) {
    if (family.name != name) continue;
    for (const auto& metric : family.metric) {
      bool counts = code.empty();
      for (const auto& label : metric.label) counts |= label.value == code;
      if (counts) sum += metric.counter.value;
    }
  }
  return sum;
}

bool RunningServer::WaitForTaken(int64_t requests) {
  EXPECT_EQ(config_.rpc_threads, 1);
  const bool admitted = server_->WaitForInflight(requests, kPatience);
  // A request counts as in flight shortly before it enters the queue. The one
  // RPC thread answers this call, which is invalid or one too many, only after
  // it has queued that request.
  EXPECT_FALSE(CallRaw("\xff").ok());
  return admitted;
}

bool RunningServer::WithinAnswers(absl::FunctionRef<bool()> condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    CallRaw("\xff");
  }
  return false;
}

bool RunningServer::WaitUntilIdle() {
  return server_->WaitForInflight(0, kPatience);
}

void RunningServer::CountAll() { server_->Shutdown(kPatience); }

Config OneRpcThread() {
  Config config;
  config.rpc_threads = 1;
  return config;
}

PendingCall::PendingCall(RunningServer& server, v1::ComputeLossRequest request,
                         const std::string& flow)
    : request_(std::move(request)) {
  if (!flow.empty()) context_.AddMetadata("lossd-flow", flow);
  thread_ = std::thread([this, &server] {
    status_ = server.stub().ComputeLoss(&context_, request_, &response_);
  });
}

PendingCall::~PendingCall() { Wait(); }

grpc::Status PendingCall::Wait() {
  if (thread_.joinable()) thread_.join();
  return status_;
}

void SetFloats(v1::Tensor* tensor, const std::vector<int64_t>& shape,
               const std::vector<float>& elements) {
  tensor->mutable_shape()->Assign(shape.begin(), shape.end());
  tensor->set_data(reinterpret_cast<const char*>(elements.data()),
                   elements.size() * sizeof(float));
}

std::vector<float> Floats(const v1::Tensor& tensor) {
  std::vector<float> elements(tensor.data().size() / sizeof(float));
  std::memcpy(elements.data(), tensor.data().data(), tensor.data().size());
  return elements;
}

v1::ComputeLossRequest SomeRequest(int64_t count) {
  std::vector<float> logits(static_cast<size_t>(count));
  std::vector<float> targets(static_cast<size_t>(count));
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<float>(static_cast<int>(i * 37 % 201) - 100) / 8;
    targets[i] = static_cast<float>(i % 5) / 4;
  }
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {count}, logits);
  SetFloats(request.mutable_targets(), {count}, targets);
  return request;
}

}  // namespace lossd
