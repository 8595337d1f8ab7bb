// Server and client copy a tensor at most once.
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/cpp/client.h"
#include "client/cpp/tensor/shared_memory.h"
#include "tests/integration/copied_bytes.h"
#include "tests/integration/entry_stream.h"
#include "tests/integration/running_server.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using client::LossRequest;
using client::SharedMemory;
using client::SharedRegion;
using client::SharedSpan;
using client::TensorView;

constexpr int64_t kCount = int64_t{1} << 20;
constexpr uint64_t kTensor = kCount * sizeof(float);
// Fields, headers and frames of the transport.
constexpr uint64_t kLittle = kTensor / 8;
// The kernel also copies the blocks of elements that begin in one slice of the
// message and end in another: about one in eight.
constexpr uint64_t kSplitBlocks = kTensor / 2;

// --- The counter counts ---

// The compiler does not know that the size is constant.
size_t Opaque(size_t size) {
  static volatile size_t opaque;
  opaque = size;
  return opaque;
}

TEST(CopiedBytesTest, CountsEachCopyOfThisProgram) {
  std::vector<char> from(kTensor, 'x'), to(kTensor);
  const CopiedBytes copied;
  std::memcpy(to.data(), from.data(), Opaque(kTensor));
  EXPECT_EQ(copied.OnThisThread(), kTensor);
  std::memmove(to.data(), from.data(), Opaque(kTensor));
  std::copy(from.begin(), from.end(), to.begin());
  EXPECT_EQ(copied.OnThisThread(), 3 * kTensor);
  EXPECT_EQ(to, from);
}

TEST(CopiedBytesTest, CountsCopiesInsideLibraries) {
  const std::string text(kTensor, 'x');
  const grpc::Slice slices[] = {grpc::Slice(text), grpc::Slice(text)};
  grpc::ByteBuffer buffer(slices, 2);
  const CopiedBytes copied;
  const std::string copy = text;  // by the standard library
  EXPECT_EQ(copied.OnThisThread(), kTensor);
  grpc::Slice flat;  // by gRPC
  ASSERT_TRUE(buffer.DumpToSingleSlice(&flat).ok());
  EXPECT_EQ(copied.OnThisThread(), 3 * kTensor);
  v1::Tensor tensor;
  tensor.set_data(text);  // by protobuf's code
  EXPECT_EQ(copied.OnThisThread(), 4 * kTensor);
  EXPECT_EQ(copy.size() + tensor.data().size(), 2 * kTensor);
}

TEST(CopiedBytesTest, TellsThreadsApart) {
  std::vector<char> from(kTensor), to(kTensor);
  const CopiedBytes copied;
  std::thread([&] {
    std::memcpy(to.data(), from.data(), Opaque(kTensor));
  }).join();
  EXPECT_LT(copied.OnThisThread(), kLittle);
  EXPECT_GE(copied.OnOtherThreads(), kTensor);
}

TEST(CopiedBytesTest, MovesWhatOverlaps) {
  std::string text = "0123456789";
  std::memmove(text.data() + 2, text.data(), Opaque(8));
  EXPECT_EQ(text, "0101234567");
  std::memmove(text.data(), text.data() + 2, Opaque(8));
  EXPECT_EQ(text, "0123456767");
}

// --- The ways of a tensor ---

// The client's code runs on the thread of the test, and the server's on others.
class Copies : public testing::Test {
 protected:
  Copies() : server_(WithSocket()) {
    for (size_t i = 0; i < logits_.size(); ++i) {
      logits_[i] = static_cast<float>(i % 37) - 18;
      targets_[i] = i % 3 == 0 ? 1 : 0;
    }
  }

  static Config WithSocket() {
    Config config;
    config.backend = Backend::kCpu;
    config.shared_memory_socket = shared_memory::TestSocketPath();
    config.max_shared_memory_bytes_per_connection = 4 * kTensor;
    return config;
  }

  std::unique_ptr<client::Client> ClientThatStreamsAbove(int64_t bytes) {
    return *client::Client::Create(
        {.target = server_.server().address(), .stream_above_bytes = bytes});
  }

  std::vector<float> logits_ = std::vector<float>(kCount);
  std::vector<float> targets_ = logits_;
  LossRequest request_{.logits = TensorView::Of<float>(logits_),
                       .targets = TensorView::Of<float>(targets_)};
  RunningServer server_;
};

// Only the gradient is copied, once, when the caller asks for it in one piece.
TEST_F(Copies, OfAUnaryCallAreTheGradientInOnePiece) {
  const auto client = ClientThatStreamsAbove(int64_t{1} << 30);
  ASSERT_TRUE(client->ComputeLoss(request_).ok());  // connects
  const CopiedBytes copied;
  auto result = client->ComputeLoss(request_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LT(copied.OnThisThread(), kLittle);
  EXPECT_LT(copied.OnOtherThreads(), kSplitBlocks);
  EXPECT_TRUE(result->gradient->As<float>().ok());
  EXPECT_LT(copied.OnThisThread(), kTensor + kLittle);
}

// The client puts the pieces of the gradient where they belong as they come.
TEST_F(Copies, OfAStreamAreTheGradientInOnePiece) {
  const auto client = ClientThatStreamsAbove(0);
  ASSERT_TRUE(client->ComputeLoss(request_).ok());
  const CopiedBytes copied;
  auto result = client->ComputeLoss(request_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->gradient->As<float>().ok());
  EXPECT_LT(copied.OnThisThread(), kTensor + kLittle);
  EXPECT_LT(copied.OnOtherThreads(), kSplitBlocks);
  server_.CountAll();
  EXPECT_EQ(server_.Counter("lossd_requests_total", "StreamLoss"), 2);
}

// Generated code serves as the client, so only the server's copies count.
TEST_F(Copies, OfEntriesAreNone) {
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {kCount}, logits_);
  SetFloats(request.mutable_targets(), {kCount}, targets_);
  v1::ComputeLossesRequest message;
  AddEntry(1, request, &message);
  AddEntry(2, request, &message);
  EntryStream stream(server_);
  const CopiedBytes copied;
  ASSERT_TRUE(stream.Write(message));
  const auto answers = stream.Read(2);
  EXPECT_LT(copied.OnOtherThreads(), 2 * kSplitBlocks);
  EXPECT_TRUE(answers.at(1).has_response());
  EXPECT_TRUE(answers.at(2).has_response());
  EXPECT_TRUE(stream.Finish().ok());
}

// Threads of the session send and receive, so both sides count together.
TEST_F(Copies, OfASessionAreTheGradientInOnePiece) {
  const auto client = ClientThatStreamsAbove(int64_t{1} << 30);
  const auto session =
      *client->StartSession({.own_call_above_bytes = int64_t{1} << 30});
  ASSERT_TRUE(session->ComputeLoss(request_).ok());  // opens the stream
  const CopiedBytes copied;
  auto result = session->ComputeLoss(request_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_LT(copied.OnThisThread(), kLittle);
  EXPECT_LT(copied.OnOtherThreads(), kSplitBlocks);
  EXPECT_TRUE(result->gradient->As<float>().ok());
  EXPECT_LT(copied.OnThisThread(), kTensor + kLittle);
}

TEST_F(Copies, OfTensorsInSharedMemoryAreNone) {
  const auto client = ClientThatStreamsAbove(int64_t{1} << 30);
  const auto memory = SharedMemory::Connect(WithSocket().shared_memory_socket);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const auto allocated = (*memory)->Allocate(3 * kTensor);
  ASSERT_TRUE(allocated.ok()) << allocated.status();
  SharedRegion& region = **allocated;
  const std::span<float> logits = region.Part<float>(0, kCount);
  const std::span<float> targets = region.Part<float>(kTensor, kCount);
  std::ranges::copy(logits_, logits.begin());
  std::ranges::copy(targets_, targets.begin());
  const LossRequest request{
      .logits = region.View<float>(logits),
      .targets = region.View<float>(targets),
      .shared_gradient = SharedSpan{
          &region,
          std::as_writable_bytes(region.Part<float>(2 * kTensor, kCount))}};
  ASSERT_TRUE(client->ComputeLoss(request).ok());
  const CopiedBytes copied;
  ASSERT_TRUE(client->ComputeLoss(request).ok());
  EXPECT_LT(copied.OnThisThread(), kLittle);
  EXPECT_LT(copied.OnOtherThreads(), kLittle);
}

}  // namespace
}  // namespace lossd
