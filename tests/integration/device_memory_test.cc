// Workers lend GPU memory to the server: answers, errors and the ends of calls
// are those of tensors that are sent. The GPUs are fake, and their memory is a
// second mapping in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/random_request.h"
#include "tests/integration/running_server.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using execution::cuda::Device;
using execution::cuda::DeviceCall;
using execution::cuda::DeviceTraces;
using execution::cuda::FakeAllocation;
using execution::cuda::FakeDevice;
using execution::cuda::FakeUuid;
using grpc::StatusCode;
using shared_memory::RawClient;
using testing::HasSubstr;

v1::RegisterDeviceMemory OfferOf(const FakeAllocation& memory,
                                 const std::string& device) {
  const auto bytes = [](const auto& array) {
    return std::string(reinterpret_cast<const char*>(array.data()),
                       array.size());
  };
  v1::RegisterDeviceMemory offer;
  offer.set_device_uuid(bytes(FakeUuid(device)));
  offer.set_ipc_handle(bytes(memory.handle()));
  offer.set_byte_size(memory.bytes().size());
  return offer;
}

// The server has two GPUs, and a worker lends it memory on the first.
class DeviceMemory : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = uint64_t{1} << 25;

  void SetUp() override {
    Config config;
    config.shared_memory_socket = shared_memory::TestSocketPath();
    path_ = config.shared_memory_socket;
    server_.emplace(config, [this](std::span<const int>) {
      std::vector<std::unique_ptr<Device>> made;
      for (const char* name : {"cuda/0", "cuda/1"}) {
        auto device = std::make_unique<FakeDevice>(&traces_, name);
        devices_.push_back(device.get());
        made.push_back(std::move(device));
      }
      return made;
    });
    client_.emplace(path_);
    region_ = Lend(*client_, memory_, "cuda/0");
  }
  static std::string Lend(RawClient& client, const FakeAllocation& memory,
                          const std::string& device) {
    const auto answer = client.Lend(OfferOf(memory, device));
    EXPECT_TRUE(answer.has_value() && answer->reply.has_region())
        << answer->reply.error().message();
    return answer->reply.region().name();
  }
  // Reserves unused bytes of the region. They begin at a multiple of
  // `alignment` and not at a multiple of a larger power of two.
  v1::SharedMemoryRef Take(uint64_t bytes, uint64_t alignment) {
    taken_ = (taken_ + 255) / 256 * 256 + alignment;
    v1::SharedMemoryRef ref;
    ref.set_region(region_);
    ref.set_offset(taken_);
    ref.set_byte_size(bytes);
    taken_ += bytes;
    EXPECT_LE(taken_, kBytes);
    return ref;
  }
  // Moves a tensor's bytes into the region.
  void Move(v1::Tensor* tensor) {
    const std::string data = tensor->data();
    *tensor->mutable_shared_memory() = Take(data.size(), 8);
    std::memcpy(&memory_.bytes()[tensor->shared_memory().offset()], data.data(),
                data.size());
  }
  std::string At(const v1::SharedMemoryRef& ref) const {
    return std::string(
        reinterpret_cast<const char*>(&memory_.bytes()[ref.offset()]),
        ref.byte_size());
  }
  // Returns `request` with some of its tensors on the GPU; `which` has a bit
  // for each.
  v1::ComputeLossRequest Moved(v1::ComputeLossRequest request, unsigned which) {
    taken_ = 0;
    const auto move = [&](unsigned bit, v1::Tensor* tensor) {
      if ((which & bit) != 0 && tensor->storage_case() == v1::Tensor::kData) {
        Move(tensor);
      }
    };
    move(1, request.mutable_logits());
    move(2, request.mutable_targets());
    if (request.has_weights()) move(4, request.mutable_weights());
    if (request.has_pos_weight()) move(8, request.mutable_pos_weight());
    if (request.upstream_gradient().data().size() > sizeof(float)) {
      move(16, request.mutable_upstream_gradient());
    }
    return request;
  }
  void TearDown() override {
    client_.reset();
    server_->CountAll();
    EXPECT_EQ(server_->server().lent_memory_bytes(), 0);
    server_.reset();
    EXPECT_EQ(traces_.misuses, 0);
    EXPECT_EQ(traces_.live, 0);
  }

  std::string path_;
  DeviceTraces traces_;
  std::vector<FakeDevice*> devices_;  // owned by the server
  std::optional<RunningServer> server_;
  FakeAllocation memory_{kBytes};
  std::optional<RawClient> client_;
  std::string region_;
  uint64_t taken_ = 0;
};

void ExpectSameNumbers(const v1::ComputeLossResponse& a,
                       const v1::ComputeLossResponse& b) {
  EXPECT_EQ(a.loss(), b.loss());
  EXPECT_EQ(a.normalizer(), b.normalizer());
  EXPECT_EQ(a.valid_count(), b.valid_count());
  EXPECT_EQ(a.nan_count(), b.nan_count());
  EXPECT_TRUE(a.losses().data() == b.losses().data());
}

TEST_F(DeviceMemory, GivesTheBitsOfTensorsThatAreSent) {
  int lent = 0;
  for (unsigned seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomRequest maker(seed);
    const v1::ComputeLossRequest sent = maker.Make();
    v1::ComputeLossResponse expected;
    ASSERT_TRUE(server_->Call(sent, &expected).ok());
    const auto which = static_cast<unsigned>(maker.random()() % 64);
    v1::ComputeLossRequest request = Moved(sent, which);
    const bool there = (which & 32) != 0 && expected.has_gradient();
    if (there) {
      *request.mutable_gradient_destination() =
          Take(expected.gradient().data().size(), 64);
    }
    v1::ComputeLossResponse response;
    const grpc::Status status = server_->Call(request, &response);
    const bool has_rows = sent.spec().reduction() >= v1::REDUCTION_ROWS;
    if (has_rows && !status.ok()) {  // D73
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
      continue;
    }
    ASSERT_TRUE(status.ok()) << status.error_message();
    ExpectSameNumbers(response, expected);
    EXPECT_TRUE((there ? At(request.gradient_destination())
                       : response.gradient().data()) ==
                expected.gradient().data());
    if (which > 0 && request.logits().shared_memory().byte_size() > 0) {
      EXPECT_EQ(response.execution().backend(), "cuda/0");
      ++lent;
    }
  }
  EXPECT_GT(lent, 40);
}

TEST_F(DeviceMemory, ABadElementIsNamedByItsIndexWithoutItsValue) {
  v1::ComputeLossRequest request = SomeRequest(3000);
  const float bad = 2;
  request.mutable_targets()->mutable_data()->replace(
      4 * 2500, 4, reinterpret_cast<const char*>(&bad), 4);
  v1::ComputeLossResponse response;
  grpc::Status status = server_->Call(Moved(request, 3), &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "targets[2500]: not in [0, 1]");
  status = server_->Call(request, &response);
  EXPECT_EQ(status.error_message(), "targets[2500]: 2 is not in [0, 1]");
}

TEST_F(DeviceMemory, IsAdvertised) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(server_->stub().GetServerInfo(&context, {}, &info).ok());
  EXPECT_TRUE(info.supports_device_memory());
  EXPECT_EQ(server_->server().lent_memory_bytes(),
            static_cast<int64_t>(kBytes));
  RunningServer without;
  grpc::ClientContext another;
  ASSERT_TRUE(without.stub().GetServerInfo(&another, {}, &info).ok());
  EXPECT_FALSE(info.supports_device_memory());
}

TEST_F(DeviceMemory, OneRequestCannotUseTheMemoryOfTwoGpus) {
  const FakeAllocation other(1 << 16);
  const std::string second = Lend(*client_, other, "cuda/1");
  v1::ComputeLossRequest request = Moved(SomeRequest(100), 3);
  v1::ComputeLossResponse response;
  request.mutable_targets()->mutable_shared_memory()->set_region(second);
  const grpc::Status status = server_->Call(request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("targets.shared_memory"));
  EXPECT_THAT(status.error_message(), HasSubstr("logits.shared_memory"));
  std::memset(other.bytes().data(), 0, other.bytes().size());
  request = Moved(SomeRequest(100), 1);
  request.mutable_logits()->mutable_shared_memory()->set_region(second);
  ASSERT_TRUE(server_->Call(request, &response).ok());
  EXPECT_EQ(response.execution().backend(), "cuda/1");
}

// The worker disconnects while a kernel reads its memory.
TEST_F(DeviceMemory, IsKeptUntilTheCallEndsAfterItsWorkerDies) {
  devices_[0]->Hold();
  v1::ComputeLossRequest request = Moved(SomeRequest(9000), 3);
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  *request.mutable_gradient_destination() = Take(36000, 64);
  PendingCall call(*server_, request);
  devices_[0]->AwaitHeld(1);
  client_->Close();
  RawClient next(path_);  // served once the first one is closed
  EXPECT_TRUE(next.Release("x").has_value());
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kCloseIpc), 0);
  v1::ComputeLossResponse response;
  EXPECT_EQ(server_->Call(request, &response).error_code(),
            StatusCode::FAILED_PRECONDITION);
  devices_[0]->Release();
  EXPECT_TRUE(call.Wait().ok());
  ASSERT_TRUE(server_->WaitUntilIdle());
  EXPECT_TRUE(server_->WithinAnswers(
      [this] { return devices_[0]->calls(DeviceCall::kCloseIpc) == 1; }));
}

TEST_F(DeviceMemory, IsRefusedOnceItsGpuIsLost) {
  devices_[0]->FailCall(DeviceCall::kHappened, 0,
                        absl::UnavailableError("lost"));
  const v1::ComputeLossRequest request = Moved(SomeRequest(100), 3);
  v1::ComputeLossResponse response;
  for (int i = 0; i < 2; ++i) {
    const grpc::Status status = server_->Call(request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("cuda/0"));
  }
  EXPECT_EQ(server_->Counter("lossd_device_errors_total"), 1);
  EXPECT_EQ(client_->Lend(OfferOf(memory_, "cuda/0"))->reply.error().code(),
            static_cast<int32_t>(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(server_->Call(SomeRequest(100), &response).ok());
  EXPECT_EQ(response.execution().backend(), "cuda/1");
}

// The drain waits for the call, whose region still has its connection.
TEST_F(DeviceMemory, IsClosedAfterADrainThatWaitedForItsCall) {
  devices_[0]->Hold();
  PendingCall call(*server_, Moved(SomeRequest(9000), 3));
  devices_[0]->AwaitHeld(1);
  std::thread release([this] { devices_[0]->Release(); });
  server_->CountAll();
  release.join();
  EXPECT_TRUE(call.Wait().ok());
}

}  // namespace
}  // namespace lossd
