// The C++ client uses the shared memory of a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "client/cpp/client.h"
#include "client/cpp/tensor/shared_memory.h"
#include "tests/integration/running_server.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using client::LossRequest;
using client::SharedMemory;
using client::SharedRegion;
using client::SharedSpan;
using client::TensorView;

Config WithSocket() {
  Config config;
  config.shared_memory_socket = shared_memory::TestSocketPath();
  config.max_shared_memory_bytes_per_connection = 1 << 20;
  return config;
}

class SharedMemoryClient : public testing::Test {
 protected:
  SharedMemoryClient() : server_(WithSocket()) {
    auto client =
        client::Client::Create({.target = server_.server().address()});
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    memory_ = Connect();
  }

  static std::unique_ptr<SharedMemory> Connect() {
    auto memory = SharedMemory::Connect(WithSocket().shared_memory_socket);
    EXPECT_TRUE(memory.ok()) << memory.status();
    return *std::move(memory);
  }

  std::unique_ptr<SharedRegion> Allocate(size_t bytes) {
    auto region = memory_->Allocate(bytes);
    EXPECT_TRUE(region.ok()) << region.status();
    return *std::move(region);
  }

  RunningServer server_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<SharedMemory> memory_;
};

TEST_F(SharedMemoryClient, SharedTensorsGiveTheBitsOfTensorsThatAreSent) {
  constexpr size_t kCount = 3000;
  const std::unique_ptr<SharedRegion> region = Allocate(3 * 16384);
  const std::span<float> logits = region->Part<float>(4, kCount);
  const std::span<float> targets = region->Part<float>(16384, kCount);
  const std::span<float> gradient = region->Part<float>(2 * 16384, kCount);
  for (size_t i = 0; i < kCount; ++i) {
    logits[i] = static_cast<float>(i % 37) - 18;
    targets[i] = i % 3 == 0 ? 1 : 0;
  }
  LossRequest request{.logits = region->View<float>(logits, {30, 100}),
                      .targets = region->View<float>(targets, {30, 100})};
  const std::vector<float> own(logits.begin(), logits.end());
  const LossRequest by_value{.logits = TensorView::Of<float>(own, {30, 100}),
                             .targets = TensorView::Of<float>(
                                 std::span<const float>(targets), {30, 100})};
  auto expected = client_->ComputeLoss(by_value);
  ASSERT_TRUE(expected.ok()) << expected.status();

  auto in_reply = client_->ComputeLoss(request);
  ASSERT_TRUE(in_reply.ok()) << in_reply.status();
  EXPECT_TRUE(std::ranges::equal(in_reply->gradient->Contiguous(),
                                 expected->gradient->Contiguous()));
  request.shared_gradient =
      SharedSpan{region.get(), std::as_writable_bytes(gradient)};
  auto in_place = client_->ComputeLoss(request, {.request_id = "mine"});
  ASSERT_TRUE(in_place.ok()) << in_place.status();
  EXPECT_FALSE(in_place->gradient.has_value());
  EXPECT_EQ(in_place->loss, expected->loss);
  EXPECT_EQ(in_place->request_id, "mine");
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(gradient),
                                 expected->gradient->Contiguous()));
}

// A request is streamed only for the size of tensors that are sent, not for
// tensors in shared memory.
TEST_F(SharedMemoryClient, IsNotStreamedHoweverLargeItIs) {
  const auto streaming = client::Client::Create(
      {.target = server_.server().address(), .stream_above_bytes = 0});
  const std::unique_ptr<SharedRegion> region = Allocate(3 * 4096);
  const std::span<float> shared = region->Part<float>(0, 1000);
  const std::vector<float> own(1000);
  LossRequest request{.logits = region->View<float>(shared),
                      .targets = region->View<float>(shared)};
  EXPECT_TRUE((*streaming)->ComputeLoss(request).ok());
  request.targets = TensorView::Of<float>(own);
  EXPECT_TRUE((*streaming)->ComputeLoss(request).ok());
  request.shared_gradient = SharedSpan{
      region.get(), std::as_writable_bytes(region->Part<float>(8192, 1000))};
  EXPECT_TRUE((*streaming)->ComputeLoss(request).ok());
  EXPECT_TRUE(server_.server().Shutdown(absl::Seconds(60)));
  EXPECT_EQ(server_.Counter("lossd_requests_total", "ComputeLoss"), 2);
  EXPECT_EQ(server_.Counter("lossd_requests_total", "StreamLoss"), 1);
}

TEST_F(SharedMemoryClient, ElementsOutsideOfTheirRegionAreRefused) {
  const std::unique_ptr<SharedRegion> region = Allocate(4096);
  const std::vector<float> elsewhere(10);
  const LossRequest request{.logits = region->View<float>(elsewhere),
                            .targets = TensorView::Of<float>(elsewhere)};
  const auto result = client_->ComputeLoss(request);
  EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
}

TEST_F(SharedMemoryClient,
       ARegionEndsWithItsObjectWhileTheConnectionStaysOpen) {
  std::unique_ptr<SharedRegion> region = Allocate(5000);
  EXPECT_EQ(region->bytes().size(), 8192U);
  EXPECT_EQ(server_.server().shared_memory_bytes(), 8192);
  region.reset();
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
  Allocate(1 << 20);
}

TEST_F(SharedMemoryClient, ARegionOutlivesItsSharedMemory) {
  const std::unique_ptr<SharedRegion> region = Allocate(4096);
  memory_.reset();
  region->bytes()[0] = std::byte{1};
  EXPECT_EQ(server_.server().shared_memory_bytes(), 4096);
  const std::vector<float> targets(10);
  const LossRequest request{
      .logits = region->View<float>(region->Part<float>(0, 10)),
      .targets = TensorView::Of<float>(targets)};
  EXPECT_TRUE(client_->ComputeLoss(request).ok());
}

TEST_F(SharedMemoryClient, TheServersLimitIsResourceExhausted) {
  const auto refused = memory_->Allocate((1 << 20) + 1);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_TRUE(absl::IsInvalidArgument(memory_->Allocate(0).status()));
  Allocate(1 << 20);  // the connection still works
}

TEST_F(SharedMemoryClient, AServerThatIsGoneIsUnavailable) {
  const std::unique_ptr<SharedRegion> region = Allocate(4096);
  server_.server().Shutdown(absl::ZeroDuration());
  EXPECT_TRUE(absl::IsUnavailable(memory_->Allocate(4096).status()));
  EXPECT_TRUE(absl::IsUnavailable(memory_->Allocate(4096).status()));
  region->bytes()[0] = std::byte{1};  // this process keeps its mapping
  EXPECT_TRUE(absl::IsUnavailable(
      SharedMemory::Connect(WithSocket().shared_memory_socket).status()));
}

TEST(SharedMemoryPath, IsChecked) {
  EXPECT_TRUE(absl::IsInvalidArgument(SharedMemory::Connect("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      SharedMemory::Connect(std::string(200, 'x')).status()));
  EXPECT_TRUE(
      absl::IsUnavailable(SharedMemory::Connect("/tmp/nosuch").status()));
}

}  // namespace
}  // namespace lossd
