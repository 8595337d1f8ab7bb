// A server in this process, and a client of it.
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

// Listens on loopback, any port. Ends the test binary's process if it cannot
// start.
class RunningServer {
 public:
  explicit RunningServer(
      const Config& config = Config(),
      const DeviceOpener& open_devices = &execution::cuda::OpenDevices);
  // Everything has come back by then: permits and bytes.
  ~RunningServer();

  Server& server() { return *server_; }
  v1::LossService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // A connection beside that one.
  std::shared_ptr<grpc::Channel> AnotherConnection() const;

  // One call with generated code.
  grpc::Status Call(const v1::ComputeLossRequest& request,
                    v1::ComputeLossResponse* response);
  // One call with any bytes.
  grpc::Status CallRaw(const std::string& bytes);

  // Sum of a counter over its labels; with a `code` only of that.
  double Counter(const std::string& name, const std::string& code = "") const;

  // As soon as exactly so many requests are in flight, and in the queue unless
  // they are streams without a window. False after 20 s. The server must have
  // one RPC thread.
  bool WaitForTaken(int64_t requests);
  // As soon as no request is in flight; false after 20 s.
  bool WaitUntilIdle();

  // Waits for what the server does beside answering and tells nobody: looks
  // after each answer to a call that makes no sense, of which there are not
  // more than a few thousand. False after them.
  bool WithinAnswers(absl::FunctionRef<bool()> condition);

  // Shuts down, so that everything is counted: a client has its answer before
  // the server has counted it.
  void CountAll();

 private:
  const Config config_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::LossService::Stub> stub_;
};

// For WaitForTaken().
Config OneRpcThread();

// A call that is under way on a thread of its own.
class PendingCall {
 public:
  PendingCall(RunningServer& server, v1::ComputeLossRequest request);
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

// Logits around 0 and targets in [0, 1], the same for every call with this
// count.
v1::ComputeLossRequest SomeRequest(int64_t count);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_RUNNING_SERVER_H_
