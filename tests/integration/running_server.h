// Runs a server in this process and calls it.
#ifndef LOSSD_TESTS_INTEGRATION_RUNNING_SERVER_H_
#define LOSSD_TESTS_INTEGRATION_RUNNING_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "lossd/v1/loss_service.grpc.pb.h"
#include "server/server.h"

namespace lossd {

// A server that listens on a free port of loopback, with a client connection.
// The constructor aborts the process if the server cannot start.
class RunningServer {
 public:
  explicit RunningServer(
      const Config& config = Config(),
      const DeviceOpener& open_devices = &execution::cuda::OpenDevices);
  // Shuts down, then expects that all permits and all charged bytes were
  // returned.
  ~RunningServer();

  Server& server() { return *server_; }
  v1::LossService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Opens a second connection, which does not share channel()'s.
  std::shared_ptr<grpc::Channel> AnotherConnection(
      grpc::ChannelArguments arguments = grpc::ChannelArguments()) const;

  // Makes one ComputeLoss call with generated code.
  grpc::Status Call(const v1::ComputeLossRequest& request,
                    v1::ComputeLossResponse* response);
  // Makes one ComputeLoss call whose message is `bytes`, valid or not.
  grpc::Status CallRaw(const std::string& bytes);

  // Returns a counter's sum over its series. A non-empty `code` selects the
  // series that have it as the value of a label.
  double Counter(const std::string& name, const std::string& code = "") const;

  // Waits until exactly `requests` requests are in flight and have entered the
  // queue. A stream without a window counts too, although it is not in the
  // queue. Returns false after 20 s. The server must have one RPC thread.
  bool WaitForTaken(int64_t requests);
  // Waits until no request is in flight. Returns false after 20 s.
  bool WaitUntilIdle();

  // Waits for an effect in the server that no reply reports. Makes an invalid
  // call between two checks of `condition`; returns false after 5,000 checks.
  bool WithinAnswers(absl::FunctionRef<bool()> condition);

  // Shuts the server down, so that counters include every call. A client may
  // have its answer before the server has counted the call.
  void CountAll();

 private:
  const Config config_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::LossService::Stub> stub_;
};

// Returns a default config with the one RPC thread that WaitForTaken() needs.
Config OneRpcThread();

// Makes a ComputeLoss call on a thread of its own, which names its flow if
// `flow` is not empty. The destructor waits for it.
class PendingCall {
 public:
  PendingCall(RunningServer& server, v1::ComputeLossRequest request,
              const std::string& flow = "");
  ~PendingCall();
  void Cancel() { context_.TryCancel(); }
  grpc::Status Wait();

 private:
  grpc::ClientContext context_;
  v1::ComputeLossRequest request_;
  v1::ComputeLossResponse response_;
  grpc::Status status_;
  std::thread thread_;
};

void SetFloats(v1::Tensor* tensor, const std::vector<int64_t>& shape,
               const std::vector<float>& elements);
std::vector<float> Floats(const v1::Tensor& tensor);

// Returns a request whose logits lie around 0 and whose targets lie in [0, 1].
// Equal counts give equal requests.
v1::ComputeLossRequest SomeRequest(int64_t count);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_RUNNING_SERVER_H_
