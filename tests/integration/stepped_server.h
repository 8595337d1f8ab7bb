// The parts of a server, with a clock that the test moves.
#ifndef LOSSD_TESTS_INTEGRATION_STEPPED_SERVER_H_
#define LOSSD_TESTS_INTEGRATION_STEPPED_SERVER_H_

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "server/door/health_service.h"
#include "server/execution/cpu_executor.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_threads.h"
#include "tests/integration/running_server.h"
#include "tests/server/fake_clock.h"

namespace lossd {

// Counts how often the time is read, which alarms do.
class CountingClock final : public Clock {
 public:
  explicit CountingClock(const FakeClock* clock) : clock_(clock) {}
  absl::Time Now() const override {
    {
      absl::MutexLock lock(&mu_);
      ++looks_;
    }
    return clock_->Now();
  }
  void Wait(absl::Mutex* mu, absl::CondVar* condition,
            absl::Time until) const override ABSL_SHARED_LOCKS_REQUIRED(mu) {
    clock_->Wait(mu, condition, until);
  }
  // Returns true once the time was read so many more times; false after 60 s.
  bool AwaitLooks(int more) const {
    absl::MutexLock lock(&mu_);
    const auto enough =
        [this, wanted = looks_ + more]()
            ABSL_SHARED_LOCKS_REQUIRED(mu_) { return looks_ >= wanted; };
    return mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(60));
  }

 private:
  const FakeClock* const clock_;
  mutable absl::Mutex mu_;
  mutable int looks_ ABSL_GUARDED_BY(mu_) = 0;
};

// Batches are computed on the RPC thread once they have been held open for
// `hold`. Streams are idle after kLimit on `time_`.
class SteppedServer : public testing::Test {
 protected:
  static constexpr absl::Duration kLimit = absl::Milliseconds(5);

  explicit SteppedServer(absl::Duration hold = absl::ZeroDuration())
      : batcher_({.max_batch_elements = int64_t{1} << 30,
                  .max_queue_delay = hold,
                  .max_inline_elements = int64_t{1} << 30},
                 &time_) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    thread_ = std::make_unique<rpc::RpcThread>(
        rpc::RpcThreadOptions(), &call_context_, &service_, &health_,
        builder.AddCompletionQueue());
    server_ = builder.BuildAndStart();
    thread_->Start();
    stub_ = v1::LossService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port_),
                            grpc::InsecureChannelCredentials()));
  }
  ~SteppedServer() override {
    server_->Shutdown(std::chrono::system_clock::now());
    thread_->Join();
    thread_.reset();
    batcher_.Close();
    EXPECT_EQ(admission_.inflight_requests(), 0);
    EXPECT_EQ(admission_.inflight_bytes(), 0);
  }

  // Waits until alarms have read the time some more times.
  void AwaitAlarms() { ASSERT_TRUE(clock_.AwaitLooks(11)); }
  bool WaitForInflight(int64_t requests) {
    return admission_.WaitForRequests(requests, absl::Seconds(60));
  }

  FakeClock time_;
  CountingClock clock_{&time_};
  admission::AdmissionController admission_{{}};
  admission::Intake intake_{{}};
  batching::Batcher batcher_;
  observability::Metrics metrics_{"test", "cpu"};
  execution::CpuExecutor runner_{{}, &metrics_, &time_};
  door::Authenticator authenticator_;
  rpc::CallContext call_context_{
      .clock = &clock_,
      .admission = &admission_,
      .intake = &intake_,
      .batcher = &batcher_,
      .runner = &runner_,
      .backend = runner_.backend(),
      .metrics = &metrics_,
      .authenticator = &authenticator_,
      .buffers = std::make_shared<BufferPool>(size_t{0}),
      .stream_idle_limit = kLimit};
  rpc::LossService service_{&call_context_, {}};
  door::HealthService health_{v1::LossService::service_full_name()};
  std::unique_ptr<rpc::RpcThread> thread_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::unique_ptr<v1::LossService::Stub> stub_;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_STEPPED_SERVER_H_
