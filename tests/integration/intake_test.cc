// Calls whose message has not been received.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using grpc::StatusCode;

// A ComputeLoss call that has sent its headers and nothing else.
class HeadersOnly {
 public:
  explicit HeadersOnly(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(channel),
        call_(stub_.PrepareCall(&context_, "/lossd.v1.LossService/ComputeLoss",
                                &queue_)) {
    call_->StartCall(this);
    Await();
  }
  // The call has been ended by Finish().
  ~HeadersOnly() {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  void Cancel() { context_.TryCancel(); }
  void HalfClose() {
    call_->WritesDone(this);
    Await();
  }
  grpc::Status Finish() {
    grpc::Status status;
    call_->Finish(&status, this);
    Await();
    return status;
  }

 private:
  void Await() {
    void* tag;
    bool ok;
    queue_.Next(&tag, &ok);
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

TEST(IntakeOfCalls, ACallWithoutAMessageIsInvalid) {
  RunningServer server;
  HeadersOnly call(server.channel());
  call.HalfClose();
  const grpc::Status status = call.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("no message"));
}

TEST(IntakeOfCalls, ACallThatIsBeingReceivedCanBeCancelled) {
  RunningServer server(OneRpcThread());
  HeadersOnly call(server.channel());
  // This one is answered after the server has seen the other's headers.
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server.Call(SomeRequest(10), &response).ok());
  call.Cancel();
  EXPECT_EQ(call.Finish().error_code(), StatusCode::CANCELLED);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_requests_total", "CANCELLED"), 1);
}

// The first message may need the whole budget, so the other waits for it.
TEST(IntakeOfCalls, ACallThatWaitsCanBeCancelledAndIsCounted) {
  RunningServer server;
  HeadersOnly first(server.channel());
  HeadersOnly second(server.AnotherConnection());
  second.Cancel();
  EXPECT_EQ(second.Finish().error_code(), StatusCode::CANCELLED);
  first.Cancel();
  EXPECT_EQ(first.Finish().error_code(), StatusCode::CANCELLED);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_accepted_total"),
            server.Counter("lossd_requests_total"));
}

// A client that never sends its message holds up another for a second at most.
TEST(IntakeOfCalls, AStuckCallDoesNotStopOthers) {
  RunningServer server;
  HeadersOnly stuck(server.channel());
  const auto other = v1::LossService::NewStub(server.AnotherConnection());
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    v1::ComputeLossResponse response;
    EXPECT_TRUE(other->ComputeLoss(&context, SomeRequest(10), &response).ok());
  }
  stuck.Cancel();
  EXPECT_EQ(stuck.Finish().error_code(), StatusCode::CANCELLED);
}

// A drain turns away what it has not received.
TEST(IntakeOfCalls, ADrainDoesNotWaitForMessages) {
  RunningServer server;
  HeadersOnly first(server.channel());
  HeadersOnly second(server.AnotherConnection());
  EXPECT_TRUE(server.server().Shutdown(absl::Seconds(20)));
  EXPECT_FALSE(first.Finish().ok());
  EXPECT_FALSE(second.Finish().ok());
}

}  // namespace
}  // namespace lossd
