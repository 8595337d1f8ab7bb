// Tests when a ComputeLosses stream is idle: while its client takes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/integration/entry_stream.h"
#include "tests/integration/slow_link.h"
#include "tests/integration/stepped_server.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

// A client on a slow link asks for an answer of 16 MiB, which is more than the
// kernel keeps on its way. The first MiB passes.
class SlowAnswer : public SteppedServer {
 protected:
  static constexpr int64_t kMiB = 1 << 20;

  SlowAnswer() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    slow_stub_ = v1::LossService::NewStub(grpc::CreateCustomChannel(
        link_.address(), grpc::InsecureChannelCredentials(), arguments));
    link_.Let(kMiB);
    stream_ = std::make_unique<EntryStream>(*slow_stub_);
    v1::ComputeLossesRequest message;
    AddEntry(1, SomeRequest(4 * kMiB), &message);
    EXPECT_TRUE(stream_->Write(message));
    EXPECT_TRUE(link_.AwaitPassed());
  }
  ~SlowAnswer() override {
    link_.Let(1000 * kMiB);
    stream_.reset();
  }

  SlowLink link_{port_};
  std::unique_ptr<v1::LossService::Stub> slow_stub_;
  std::unique_ptr<EntryStream> stream_;
};

TEST_F(SlowAnswer, IsNotIdleWhilePartsOfItPass) {
  for (int quarters = 0; quarters < 8; ++quarters) {
    time_.Advance(kLimit / 4);
    link_.Let(kMiB);
    ASSERT_TRUE(link_.AwaitPassed());
    AwaitAlarms();
  }
  link_.Let(1000 * kMiB);
  EXPECT_TRUE(stream_->Read(1)[1].has_response());
  EXPECT_TRUE(stream_->Finish().ok());
  EXPECT_TRUE(WaitForInflight(0));
}

TEST_F(SlowAnswer, IsIdleWhenNoPartOfItPasses) {
  AwaitAlarms();
  EXPECT_EQ(admission_.inflight_requests(), 1);
  // The first MiB may excuse the first limit.
  do {
    time_.Advance(kLimit);
  } while (!admission_.WaitForRequests(0, absl::Now() + kLimit));
  link_.Let(1000 * kMiB);
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("--stream_idle_timeout"));
}

}  // namespace
}  // namespace lossd
