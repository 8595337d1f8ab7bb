// Runs the whole server on fake devices and checks answers and health while the
// devices work, fail, or are lost.
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/named_set.h"
#include "server/execution/cuda/slot_pool.h"
#include "tests/integration/raw_stream.h"
#include "tests/integration/running_server.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd {
namespace {

using execution::cuda::Device;
using execution::cuda::DeviceCall;
using execution::cuda::DeviceTraces;
using execution::cuda::FakeDevice;

absl::Status Lost() { return absl::UnavailableError("asked for"); }

class CudaBackend : public testing::Test {
 protected:
  void Start(Backend backend, int devices = 1) {
    Config config;
    config.backend = backend;
    server_ = std::make_unique<RunningServer>(
        config, [this, devices](std::span<const int>) {
          std::vector<std::unique_ptr<Device>> made;
          for (int k = 0; k < devices; ++k) {
            auto device = std::make_unique<FakeDevice>(
                &traces_, "cuda/" + std::to_string(k));
            if (at_start_ > 0) device->FailCall(at_start_ - 1, Lost());
            devices_.push_back(device.get());
            made.push_back(std::move(device));
          }
          return made;
        });
  }
  // Returns the backend that computed `request`. Expects the same bits as from
  // a server without devices.
  std::string BackendOf(const v1::ComputeLossRequest& request) {
    v1::ComputeLossResponse response;
    const grpc::Status status = server_->Call(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    v1::ComputeLossResponse expected;
    Config cpu;
    cpu.backend = Backend::kCpu;
    EXPECT_TRUE(RunningServer(cpu).Call(request, &expected).ok());
    EXPECT_EQ(response.loss(), expected.loss());
    EXPECT_EQ(response.gradient().data(), expected.gradient().data());
    EXPECT_EQ(response.losses().data(), expected.losses().data());
    return response.execution().backend();
  }
  std::string Health() {
    RawStream check(*server_, "/grpc.health.v1.Health/Check", "");
    return check.Read();
  }
  void TearDown() override {
    server_.reset();
    EXPECT_EQ(traces_.misuses, 0);
    EXPECT_EQ(traces_.live, 0);
  }

  // The number of the call that fails on every device, from 1; 0: none fails.
  int at_start_ = 0;
  DeviceTraces traces_;
  std::vector<FakeDevice*> devices_;  // owned by the server
  std::unique_ptr<RunningServer> server_;
};

TEST_F(CudaBackend, AnswersWithTheBitsOfTheCpu) {
  Start(Backend::kAuto);
  EXPECT_EQ(BackendOf(SomeRequest(5000)), "cuda/0");
  v1::ComputeLossRequest losses = SomeRequest(3000);
  losses.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  EXPECT_EQ(BackendOf(losses), "cuda/0");
  v1::ComputeLossRequest counted = SomeRequest(3000);
  counted.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  EXPECT_EQ(BackendOf(counted), "cuda/0");
}

TEST_F(CudaBackend, AutoGoesOnWithTheCpuAfterItsDeviceIsLost) {
  Start(Backend::kAuto);
  devices_[0]->FailCall(DeviceCall::kLaunch, 0, Lost());
  EXPECT_EQ(BackendOf(SomeRequest(5000)).substr(0, 4), "cpu/");
  EXPECT_EQ(BackendOf(SomeRequest(100)).substr(0, 4), "cpu/");
  EXPECT_EQ(Health(), kServing);
  EXPECT_EQ(server_->Counter("lossd_device_errors_total"), 1);
}

TEST_F(CudaBackend, CudaGoesOnWithTheOtherDeviceAfterOneIsLost) {
  Start(Backend::kCuda, 2);
  devices_[0]->FailCall(DeviceCall::kWait, 0, Lost());
  EXPECT_EQ(BackendOf(SomeRequest(5000)), "cuda/1");
  EXPECT_EQ(Health(), kServing);
}

// --backend=cuda promises a device. Accepted requests are still computed, on
// the CPU, and then the server turns unhealthy.
TEST_F(CudaBackend, CudaAnswersAcceptedRequestsAndStopsServingWithoutADevice) {
  Start(Backend::kCuda);
  devices_[0]->FailCall(DeviceCall::kWait, 0, Lost());
  EXPECT_EQ(BackendOf(SomeRequest(5000)).substr(0, 4), "cpu/");
  EXPECT_EQ(Health(), kNotServing);
  v1::ComputeLossResponse response;
  EXPECT_EQ(server_->Call(SomeRequest(10), &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CudaBackend, ATransientErrorLeavesTheServerServing) {
  Start(Backend::kCuda);
  devices_[0]->FailCall(DeviceCall::kLaunch, 0, absl::InternalError("once"));
  EXPECT_EQ(BackendOf(SomeRequest(500)).substr(0, 4), "cpu/");
  EXPECT_EQ(BackendOf(SomeRequest(500)), "cuda/0");
  EXPECT_EQ(Health(), kServing);
}

TEST_F(CudaBackend, DevicesThatCannotMakeTheirSlotsAreNotUsed) {
  at_start_ = 2;
  Start(Backend::kAuto, 2);
  EXPECT_EQ(server_->server().backend().substr(0, 4), "cpu/");
  Config config;
  config.backend = Backend::kCuda;
  const auto refused = Server::Create(config, [this](std::span<const int>) {
    std::vector<std::unique_ptr<Device>> made;
    auto device = std::make_unique<FakeDevice>(&traces_);
    device->FailCall(1, Lost());
    made.push_back(std::move(device));
    return made;
  });
  EXPECT_EQ(refused.status().message(), "--backend=cuda: cuda/0: asked for");
}

TEST(InstructionSetFlagTest, TheServerComputesWithTheSetThatWasAskedFor) {
  RunningServer server({.backend = Backend::kCpu, .instruction_set = "scalar"});
  EXPECT_EQ(server.server().backend(), "cpu/SCALAR");
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server.Call(SomeRequest(1000), &response).ok());
}

TEST(InstructionSetFlagTest, AnUnknownSetIsRefusedWithThoseOfTheMachine) {
  Config config;
  config.instruction_set = "avx1024";
  const auto refused = Server::Create(config);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.status().message(),
            "--instruction_set=avx1024: this machine has " +
                kernels::cpu::InstructionSetNames());
}

}  // namespace
}  // namespace lossd
