#include "server/rpc/stream_output.h"

#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "lossd/v1/loss_service.pb.h"

namespace lossd::rpc {
namespace {

// Windows of a stream of losses and gradients. The test computes them, in the
// order that it chooses: the k-th window's results are filled with 'a' + k.
class StreamOutputTest : public testing::Test {
 protected:
  StreamOutputTest() {
    v1::StreamLossHeader header;
    header.add_shape(4 * kWindowElements);
    header.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
    EXPECT_TRUE(plan_.Read(header).ok());
  }
  ~StreamOutputTest() override {
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  StreamWindow& Append() {
    StreamWindow& window = output_.Append();
    window.state = StreamWindow::State::kInFlight;
    window.first_element = appended_ * kWindowElements;
    window.input_bytes = 100;
    for (Buffer* result : {&window.memory.losses, &window.memory.gradient}) {
      *result = context_.buffers->Take(3);
      std::fill_n(result->data(), 3, std::byte('a' + appended_));
    }
    window.partials.assign(1, kernels::BlockPartial{.valid_count = 1});
    ++appended_;
    return window;
  }
  // Hands a window back and takes its tag out of the queue.
  void Compute(StreamWindow& window) {
    window.OnComputed({.backend = "test"});
    AwaitTag();
  }
  void AwaitTag() {
    void* tag;
    bool ok;
    ASSERT_TRUE(queue_.Next(&tag, &ok));
    const int event = static_cast<RpcCall::Tag*>(tag)->event;
    output_.OnBack(static_cast<size_t>(event - kFirstEvent));
  }
  // Returns the next message as text, "none" or an error.
  std::string Next() {
    auto message = output_.NextMessage(plan_);
    if (!message.ok()) return std::string(message.status().message());
    if (!message->has_value()) return "none";
    grpc::Slice flat;
    EXPECT_TRUE((*message)->DumpToSingleSlice(&flat).ok());
    v1::StreamLossResponse response;
    EXPECT_TRUE(
        response.ParseFromArray(flat.begin(), static_cast<int>(flat.size())));
    return response.has_losses() ? "losses " + response.losses()
                                 : "gradient " + response.gradient();
  }

  static constexpr int kFirstEvent = 7;
  grpc::CompletionQueue queue_;
  CallContext context_{.backend = "usual",
                       .buffers = std::make_shared<BufferPool>(size_t{0})};
  request::StreamPlan plan_;
  StreamOutput output_{&context_, &queue_, nullptr, kFirstEvent};
  unsigned appended_ = 0;
};

TEST_F(StreamOutputTest, WritesWindowsInTheirOrder) {
  StreamWindow& first = Append();
  StreamWindow& second = Append();
  Compute(second);
  EXPECT_EQ(Next(), "none");
  EXPECT_TRUE(output_.InFlight());
  Compute(first);
  EXPECT_FALSE(output_.InFlight());
  EXPECT_EQ(Next(), "losses aaa");
  EXPECT_EQ(Next(), "gradient aaa");
  EXPECT_EQ(Next(), "losses bbb");
  EXPECT_EQ(Next(), "gradient bbb");
  EXPECT_FALSE(output_.empty());
  EXPECT_EQ(Next(), "none");
  EXPECT_TRUE(output_.empty());
}

TEST_F(StreamOutputTest, FreesAWindowOnceItsResultsAreTaken) {
  for (uint64_t i = 0; i < kMaxWindows; ++i) {
    EXPECT_FALSE(output_.full());
    Compute(Append());
  }
  EXPECT_TRUE(output_.full());
  EXPECT_EQ(output_.input_bytes(), 100 * kMaxWindows);
  Next();
  Next();
  EXPECT_TRUE(output_.full());
  EXPECT_EQ(Next(), "losses bbb");
  EXPECT_FALSE(output_.full());
  EXPECT_EQ(output_.input_bytes(), 100 * (kMaxWindows - 1));
}

TEST_F(StreamOutputTest, PassesOnThatAWindowWasDropped) {
  Append().OnDropped(absl::UnavailableError("draining"));
  AwaitTag();
  EXPECT_EQ(Next(), "draining");
}

TEST_F(StreamOutputTest, SumsUpSettledWindows) {
  Compute(Append());
  Compute(Append());
  while (Next() != "none") {
  }
  grpc::Slice flat;
  ASSERT_TRUE(output_.Summary(plan_).DumpToSingleSlice(&flat).ok());
  v1::StreamLossResponse response;
  ASSERT_TRUE(
      response.ParseFromArray(flat.begin(), static_cast<int>(flat.size())));
  EXPECT_EQ(response.summary().valid_count(), 2);
  EXPECT_EQ(response.summary().backend(), "test");
  output_.Clear();
  ASSERT_TRUE(output_.Summary(plan_).DumpToSingleSlice(&flat).ok());
  ASSERT_TRUE(
      response.ParseFromArray(flat.begin(), static_cast<int>(flat.size())));
  EXPECT_EQ(response.summary().valid_count(), 0);
  EXPECT_EQ(response.summary().backend(), "usual");
}

}  // namespace
}  // namespace lossd::rpc
