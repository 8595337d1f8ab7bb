// Tests streams whose clients do nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "server/door/health_service.h"
#include "server/execution/cpu_executor.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_threads.h"
#include "server/rpc/stream_window.h"
#include "tests/integration/loss_stream.h"
#include "tests/server/fake_clock.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

TEST(StreamIdle, AServerEndsAStreamThatSendsNothing) {
  Config config;
  config.stream_idle_timeout = absl::Milliseconds(20);
  RunningServer server(config);
  OpenStream stream(server);
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  server.CountAll();
  EXPECT_EQ(server.Counter("lossd_requests_total", "DEADLINE_EXCEEDED"), 1);
}

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

// The parts of a server, with a clock that the test moves. Batches are computed
// on the RPC thread once they have been held open for `hold`.
class IdleStreams : public testing::Test {
 protected:
  static constexpr absl::Duration kLimit = absl::Milliseconds(5);

  explicit IdleStreams(absl::Duration hold = absl::ZeroDuration())
      : batcher_({.max_batch_elements = int64_t{1} << 30,
                  .max_queue_delay = hold,
                  .max_inline_elements = int64_t{1} << 30},
                 &time_) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    thread_ = std::make_unique<rpc::RpcThread>(
        rpc::RpcThreadOptions(), &call_context_, &service_, &health_,
        builder.AddCompletionQueue());
    server_ = builder.BuildAndStart();
    thread_->Start();
    stub_ = v1::LossService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials()));
  }
  ~IdleStreams() override {
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
    return admission_.WaitForRequests(requests,
                                      absl::Now() + absl::Seconds(60));
  }
  // Expects that the stream ends at the limit and not before.
  void ExpectIdle(OpenStream& stream) {
    AwaitAlarms();
    EXPECT_EQ(admission_.inflight_requests(), 1);
    time_.Advance(kLimit);
    ExpectEnd(stream);
  }
  void ExpectEnd(OpenStream& stream) {
    const grpc::Status status = stream.Finish();
    EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
    EXPECT_THAT(status.error_message(), HasSubstr("--stream_idle_timeout"));
    EXPECT_TRUE(WaitForInflight(0));
  }

  FakeClock time_;
  CountingClock clock_{&time_};
  admission::AdmissionController admission_{{}};
  admission::Intake intake_{{}};
  batching::Batcher batcher_;
  observability::Metrics metrics_{"test", "cpu"};
  execution::CpuExecutor runner_{{}, &metrics_, &time_};
  door::Authenticator authenticator_{{}};
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
  std::unique_ptr<v1::LossService::Stub> stub_;
};

TEST_F(IdleStreams, EndAfterTheirHeader) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(WaitForInflight(1));
  ExpectIdle(stream);
}

TEST_F(IdleStreams, EndAfterAWindow) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  ASSERT_TRUE(
      stream.Write(ChunkOf(SomeRequest(rpc::kWindowElements + 5), 0, 1)));
  v1::StreamLossResponse response;
  ASSERT_TRUE(stream.Read(&response));
  EXPECT_EQ(response.gradient().size(), 4 * rpc::kWindowElements);
  ExpectIdle(stream);
}

// The status does not wait behind gradients that nobody reads.
TEST_F(IdleStreams, EndWhenTheyDoNotRead) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(int64_t{1} << 40)));
  const v1::StreamLossRequest chunk =
      ChunkOf(SomeRequest(rpc::kWindowElements), 0, 1);
  std::atomic<int> written{0};
  std::thread writer([&] {
    while (stream.Write(chunk)) ++written;  // until the server ends it
  });
  // The stream rests once many alarms have come and nothing was written.
  for (int before = -1; before != written;) {
    before = written;
    for (int i = 0; i < 5; ++i) AwaitAlarms();
  }
  EXPECT_GT(written, 4);
  time_.Advance(kLimit);
  writer.join();
  ExpectEnd(stream);
}

TEST_F(IdleStreams, AreNotThoseThatSendSomethingInTime) {
  OpenStream stream(*stub_);
  const v1::ComputeLossRequest window = SomeRequest(rpc::kWindowElements);
  constexpr int kWindows = 4;
  ASSERT_TRUE(stream.Write(HeaderOfElements(kWindows * rpc::kWindowElements)));
  for (int i = 0; i < kWindows; ++i) {
    time_.Advance(kLimit * 3 / 4);
    ASSERT_TRUE(stream.Write(ChunkOf(window, 0, 1)));
    v1::StreamLossResponse response;
    ASSERT_TRUE(stream.Read(&response));
    AwaitAlarms();
  }
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
}

class HeldStreams : public IdleStreams {
 protected:
  HeldStreams() : IdleStreams(absl::Hours(1)) {}
};

TEST_F(HeldStreams, ThatWaitForTheServerAreNotIdle) {
  OpenStream stream(*stub_);
  ASSERT_TRUE(stream.Write(HeaderOfElements(20)));
  ASSERT_TRUE(stream.Write(ChunkOf(SomeRequest(20), 0, 1)));
  // The stream's alarms are events of the thread that enqueues the window.
  while (batcher_.queued_requests() == 0) ASSERT_TRUE(clock_.AwaitLooks(1));
  for (int i = 0; i < 3; ++i) {
    time_.Advance(10 * kLimit);
    AwaitAlarms();
    EXPECT_EQ(admission_.inflight_requests(), 1);
    EXPECT_EQ(batcher_.queued_requests(), 1);
  }
  // The stream ends with the status of its window.
  batcher_.DropQueued(absl::UnavailableError("enough"));
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace lossd
