// The C++ client lends GPU memory: its driver is fake, and its server runs on
// fake devices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cpp/client.h"
#include "client/cpp/tensor/cuda_driver.h"
#include "client/cpp/tensor/shared_memory.h"
#include "tests/integration/running_server.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using client::CudaDriver;
using client::CudaMemory;
using client::LossRequest;
using client::SharedMemory;
using client::SharedRegion;
using client::SharedSpan;
using client::TensorView;
using execution::cuda::Device;
using execution::cuda::DeviceTraces;
using execution::cuda::FakeDevice;
using testing::HasSubstr;

absl::StatusOr<std::unique_ptr<CudaDriver>> OpenFake(int device = 0) {
  return CudaDriver::Open(device, LOSSD_FAKE_CUDA_DRIVER);
}

class DeviceMemoryClient : public testing::Test {
 protected:
  void Start(int gpus) {
    Config config;
    config.shared_memory_socket = shared_memory::TestSocketPath();
    server_.emplace(
        config,
        [this, gpus](std::span<const int>)
            -> absl::StatusOr<std::vector<std::unique_ptr<Device>>> {
          std::vector<std::unique_ptr<Device>> made;
          for (int k = 0; k < gpus; ++k) {
            made.push_back(std::make_unique<FakeDevice>(
                &traces_, "cuda/" + std::to_string(k)));
          }
          if (made.empty()) return absl::UnavailableError("none");
          return made;
        });
    memory_ = *SharedMemory::Connect(config.shared_memory_socket);
    client_ = *client::Client::Create({.target = server_->server().address()});
    driver_ = *OpenFake();
  }
  template <typename T>
  void Write(std::span<T> to, const std::vector<T>& from) {
    const absl::Status status = driver_->CopyToDevice(
        std::as_writable_bytes(to), std::as_bytes(std::span(from)));
    EXPECT_TRUE(status.ok()) << status;
  }
  void TearDown() override {
    memory_.reset();
    if (server_) server_->CountAll();
    server_.reset();
    EXPECT_EQ(traces_.live, 0);
    EXPECT_EQ(traces_.misuses, 0);
  }

  DeviceTraces traces_;
  std::optional<RunningServer> server_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<CudaDriver> driver_;
  std::unique_ptr<SharedMemory> memory_;
};

TEST_F(DeviceMemoryClient, LentTensorsGiveTheBitsOfTensorsThatAreSent) {
  Start(1);
  constexpr size_t kCount = 3000;
  std::vector<float> logits(kCount), targets(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    logits[i] = static_cast<float>(i % 17) - 8;
    targets[i] = static_cast<float>(i % 2);
  }
  auto by_value =
      client_->ComputeLoss({.logits = TensorView::Of<float>(logits),
                            .targets = TensorView::Of<float>(targets)});
  ASSERT_TRUE(by_value.ok()) << by_value.status();
  const CudaMemory memory = *driver_->Allocate(3 * 16384);
  const auto described = driver_->Describe(memory.bytes());
  ASSERT_TRUE(described.ok()) << described.status();
  auto lent = memory_->Lend(*described);
  ASSERT_TRUE(lent.ok()) << lent.status();
  const std::unique_ptr<SharedRegion> region = *std::move(lent);
  const std::span<float> there = region->Part<float>(0, kCount);
  const std::span<float> beside = region->Part<float>(16384, kCount);
  const std::span<float> gradient = region->Part<float>(2 * 16384, kCount);
  Write(there, logits);
  Write(beside, targets);
  const auto answer = client_->ComputeLoss(
      {.logits = region->View<float>(there),
       .targets = region->View<float>(beside),
       .shared_gradient =
           SharedSpan{region.get(), std::as_writable_bytes(gradient)}});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->loss, by_value->loss);
  std::vector<float> got(kCount);
  ASSERT_TRUE(driver_
                  ->CopyToHost(std::as_writable_bytes(std::span(got)),
                               std::as_bytes(gradient))
                  .ok());
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(got)),
                                 by_value->gradient->Contiguous()));
}

TEST_F(DeviceMemoryClient, LendsPartOfAnAllocation) {
  Start(2);
  const CudaMemory memory = *driver_->Allocate(8192);
  const auto described = driver_->Describe(memory.bytes().subspan(4096, 100));
  ASSERT_TRUE(described.ok()) << described.status();
  EXPECT_EQ(described->offset, 4096u);
  const auto region = memory_->Lend(*described);
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->bytes().size(), 100u);
  const auto misplaced =
      memory_->Lend(*driver_->Describe(memory.bytes().subspan(32, 100)));
  EXPECT_TRUE(absl::IsInvalidArgument(misplaced.status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      driver_->Describe({memory.bytes().data() + 64, 8192}).status()));
}

TEST_F(DeviceMemoryClient, MemoryOfAGpuThatTheServerDoesNotUseIsNotFound) {
  Start(1);
  const auto other = OpenFake(1);
  ASSERT_TRUE(other.ok()) << other.status();
  const CudaMemory memory = *(*other)->Allocate(4096);
  const auto region = memory_->Lend(*(*other)->Describe(memory.bytes()));
  EXPECT_TRUE(absl::IsNotFound(region.status())) << region.status();
}

TEST_F(DeviceMemoryClient, AServerWithoutGpusSaysUnimplemented) {
  Start(0);
  const CudaMemory memory = *driver_->Allocate(4096);
  const auto region = memory_->Lend(*driver_->Describe(memory.bytes()));
  EXPECT_TRUE(absl::IsUnimplemented(region.status())) << region.status();
}

TEST_F(DeviceMemoryClient, ErrorsCarryTheDriversErrorName) {
  const auto none = CudaDriver::Open(0, "liblossd_no_such_driver.so");
  EXPECT_TRUE(absl::IsUnimplemented(none.status())) << none.status();
  EXPECT_TRUE(absl::IsUnavailable(OpenFake(7).status()));
  const auto driver = OpenFake();
  ASSERT_TRUE(driver.ok()) << driver.status();
  const auto too_much = (*driver)->Allocate(size_t{1} << 40);
  EXPECT_TRUE(absl::IsResourceExhausted(too_much.status()));
  EXPECT_THAT(std::string(too_much.status().message()),
              HasSubstr("CUDA_ERROR_OUT_OF_MEMORY"));
  std::byte ours[8];
  EXPECT_TRUE(absl::IsInvalidArgument((*driver)->Describe(ours).status()));
}

}  // namespace
}  // namespace lossd
