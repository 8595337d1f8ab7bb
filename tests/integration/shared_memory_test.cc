// Workers on the server's host pass tensors by reference instead of by value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "kernels/sigmoid_loss.h"
#include "tests/integration/running_server.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using shared_memory::Mapping;
using shared_memory::RawClient;
using testing::HasSubstr;

Config WithSocket() {
  Config config;
  config.shared_memory_socket = shared_memory::TestSocketPath();
  return config;
}

// Runs a server, connects to its socket, and maps one region.
class SharedMemory : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = 1 << 20;

  explicit SharedMemory(Config config = WithSocket())
      : server_(config), client_(config.shared_memory_socket) {
    auto answer = client_.Register(kBytes);
    EXPECT_TRUE(answer.has_value() && answer->file.open());
    name_ = answer->reply.region().name();
    mapping_.emplace(answer->file, kBytes);
  }

  // Closes the connection and returns once the server has handled its end.
  void CloseAndAwait() {
    client_.Close();
    // The server handles connections in order, so an answer to a second one
    // proves that the first was handled.
    RawClient second(WithSocket().shared_memory_socket);
    EXPECT_TRUE(second.Release(name_).has_value());
  }

  // Moves a tensor's bytes to `offset` in the region.
  void Move(v1::Tensor* tensor, uint64_t offset) {
    const std::string data = tensor->data();
    std::memcpy(&mapping_->bytes()[offset], data.data(), data.size());
    *tensor->mutable_shared_memory() = Ref(offset, data.size());
  }

  v1::SharedMemoryRef Ref(uint64_t offset, uint64_t byte_size) const {
    v1::SharedMemoryRef ref;
    ref.set_region(name_);
    ref.set_offset(offset);
    ref.set_byte_size(byte_size);
    return ref;
  }

  std::string At(uint64_t offset, uint64_t size) const {
    return std::string(
        reinterpret_cast<const char*>(&mapping_->bytes()[offset]), size);
  }

  // Returns SomeRequest() with its tensors and its gradient in shared memory.
  v1::ComputeLossRequest Shared(int64_t count) {
    v1::ComputeLossRequest request = SomeRequest(count);
    Move(request.mutable_logits(), 4);  // tensors need no alignment
    Move(request.mutable_targets(), kBytes / 4 + 1);
    *request.mutable_gradient_destination() =
        Ref(kBytes / 2, static_cast<uint64_t>(count) * 4);
    return request;
  }

  RunningServer server_;
  RawClient client_;
  std::string name_;
  std::optional<Mapping> mapping_;
};

TEST_F(SharedMemory, TheAnswerHasTheBytesOfTheSameRequestByData) {
  for (const int64_t count : {0, 1, 63, 2048, 2049, 50001}) {
    v1::ComputeLossResponse by_data, by_reference;
    ASSERT_TRUE(server_.Call(SomeRequest(count), &by_data).ok());
    const grpc::Status status = server_.Call(Shared(count), &by_reference);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_FALSE(by_reference.has_gradient());
    EXPECT_EQ(At(kBytes / 2, static_cast<uint64_t>(count) * 4),
              by_data.gradient().data());
    EXPECT_EQ(by_reference.loss(), by_data.loss());
    EXPECT_EQ(by_reference.valid_count(), by_data.valid_count());
  }
}

TEST_F(SharedMemory, EveryOperandAndASecondPassOverTheBlocksGiveTheSameBytes) {
  constexpr int64_t kCount = 5000;
  v1::ComputeLossRequest request = SomeRequest(kCount);
  request.mutable_spec()->set_ignore_target(0.25);
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  request.mutable_spec()->set_gradient_dtype(v1::DATA_TYPE_FLOAT16);
  *request.mutable_weights() = request.targets();
  SetFloats(request.mutable_pos_weight(), {1}, {1.5F});
  SetFloats(request.mutable_upstream_gradient(), {}, {0.5F});
  v1::ComputeLossResponse by_data, by_reference;
  ASSERT_TRUE(server_.Call(request, &by_data).ok());
  uint64_t offset = 1;
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets(),
        request.mutable_weights(), request.mutable_pos_weight(),
        request.mutable_upstream_gradient()}) {
    const uint64_t size = tensor->data().size();
    Move(tensor, offset);
    offset += size;
  }
  *request.mutable_gradient_destination() = Ref(kBytes / 2, kCount * 2);
  const grpc::Status status = server_.Call(request, &by_reference);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(At(kBytes / 2, kCount * 2), by_data.gradient().data());
  EXPECT_EQ(by_reference.loss(), by_data.loss());
}

TEST_F(SharedMemory, Float8MayLieAtAnyByteAndGivesTheSameBytes) {
  constexpr int64_t kCount = 5001;
  v1::ComputeLossRequest request;
  std::string logits(kCount, '\0'), bits((kCount + 7) / 8, '\x5a');
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<char>(i % 0x78);
  }
  request.mutable_logits()->set_dtype(v1::DATA_TYPE_FLOAT8_E5M2);
  request.mutable_logits()->add_shape(kCount);
  request.mutable_logits()->set_data(logits);
  request.mutable_targets()->set_dtype(v1::DATA_TYPE_BIT);
  request.mutable_targets()->add_shape(kCount);
  request.mutable_targets()->set_data(bits);
  request.mutable_spec()->set_reduction(v1::REDUCTION_SUM);
  v1::ComputeLossResponse by_data, by_reference;
  ASSERT_TRUE(server_.Call(request, &by_data).ok());
  Move(request.mutable_logits(), 3);
  Move(request.mutable_targets(), 3 + kCount);
  *request.mutable_gradient_destination() = Ref(kBytes / 2, kCount);
  const grpc::Status status = server_.Call(request, &by_reference);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(At(kBytes / 2, kCount), by_data.gradient().data());
  EXPECT_EQ(by_reference.loss(), by_data.loss());
}

TEST_F(SharedMemory, WithoutADestinationTheGradientIsInTheReply) {
  v1::ComputeLossRequest request = Shared(100);
  request.clear_gradient_destination();
  v1::ComputeLossResponse by_data, by_reference;
  ASSERT_TRUE(server_.Call(SomeRequest(100), &by_data).ok());
  ASSERT_TRUE(server_.Call(request, &by_reference).ok());
  EXPECT_EQ(by_reference.gradient().data(), by_data.gradient().data());
}

TEST_F(SharedMemory, NothingBeyondTheDestinationIsWritten) {
  for (const int64_t count : {1, 15, 17, 2047, 2049}) {
    v1::ComputeLossRequest request = Shared(count);
    const uint64_t bytes = static_cast<uint64_t>(count) * 4;
    std::memset(&mapping_->bytes()[kBytes / 2 - 64], 0x5A, bytes + 128 + 64);
    v1::ComputeLossResponse response;
    ASSERT_TRUE(server_.Call(request, &response).ok());
    EXPECT_EQ(At(kBytes / 2 - 64, 64), std::string(64, 0x5A)) << count;
    EXPECT_EQ(At(kBytes / 2 + bytes, 64), std::string(64, 0x5A)) << count;
  }
}

// Runs the server with a byte budget that is smaller than any tensor here.
class SharedMemoryAndLittleElse : public SharedMemory {
 protected:
  static constexpr int64_t kBudget = 2000;

  SharedMemoryAndLittleElse() : SharedMemory(WithBudget()) {}

 private:
  static Config WithBudget() {
    Config config = WithSocket();
    config.max_inflight_bytes = kBudget;
    return config;
  }
};

TEST_F(SharedMemoryAndLittleElse, TheServersBudgetOfBytesIsNotCharged) {
  v1::ComputeLossResponse response;
  const grpc::Status status = server_.Call(Shared(10000), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(server_.Call(SomeRequest(10000), &response).error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
}

// Logits in shared memory add nothing to the message, but the partial results
// of their blocks take the server's own memory.
TEST_F(SharedMemoryAndLittleElse, PartialResultsAreCharged) {
  const auto code_of = [&](int64_t rows) {
    v1::ComputeLossRequest request;
    request.mutable_spec()->set_gradient(v1::GRADIENT_MODE_OMIT);
    request.mutable_targets()->mutable_identity();
    v1::Tensor& logits = *request.mutable_logits();
    logits.set_dtype(v1::DATA_TYPE_BFLOAT16);
    logits.add_shape(rows);
    logits.add_shape(kernels::kBlockElements);
    *logits.mutable_shared_memory() =
        Ref(0, static_cast<uint64_t>(rows) * kernels::kBlockElements * 2);
    v1::ComputeLossResponse response;
    return server_.Call(request, &response).error_code();
  };
  EXPECT_EQ(code_of(16), StatusCode::OK);
  static_assert(64 * sizeof(kernels::BlockPartial) > kBudget);
  EXPECT_EQ(code_of(64), StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(SharedMemory,
       AnUnknownRegionIsNotFoundAndAReleasedOneAFailedPrecondition) {
  v1::ComputeLossRequest request = Shared(10);
  v1::ComputeLossResponse response;
  request.mutable_logits()->mutable_shared_memory()->set_region(
      std::string(32, 'f'));
  EXPECT_EQ(server_.Call(request, &response).error_code(),
            StatusCode::NOT_FOUND);
  ASSERT_TRUE(client_.Release(name_)->reply.has_released());
  const grpc::Status stale = server_.Call(Shared(10), &response);
  EXPECT_EQ(stale.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(stale.error_message(), HasSubstr("is gone"));
}

TEST_F(SharedMemory, AReferenceOutOfRangeIsInvalid) {
  v1::ComputeLossRequest request = Shared(10);
  request.mutable_logits()->mutable_shared_memory()->set_offset(~uint64_t{0} -
                                                                39);
  v1::ComputeLossResponse response;
  const grpc::Status status = server_.Call(request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("logits.shared_memory:"));
}

TEST_F(SharedMemory, TheClientCannotShrinkItsMemory) {
  const auto answer = client_.Register(kBytes);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(ftruncate(answer->file.number(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  v1::ComputeLossRequest request = Shared(1000);
  request.mutable_logits()->mutable_shared_memory()->set_region(
      answer->reply.region().name());
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server_.Call(request, &response).ok());
}

// A writer changes the elements while the server reads them. Every answer must
// be a loss or an error that names an element.
TEST_F(SharedMemory, DataThatChangesWhileItIsReadHarmsNobody) {
  constexpr int64_t kCount = 60000;
  v1::ComputeLossRequest request = Shared(kCount);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    std::mt19937_64 random(17);
    const uint64_t patterns[] = {0x3F8000003F800000, 0, 0x7FC000007FC00000,
                                 0x7F8000007F800000};
    while (!stop.load(std::memory_order_relaxed)) {
      const uint64_t at = random() % (kBytes / 2 - 8);
      const uint64_t word =
          at % 8 == 0 ? random() : patterns[random() % std::size(patterns)];
      std::memcpy(&mapping_->bytes()[at], &word, sizeof(word));
    }
  });
  int refused = 0;
  // The scheduler decides when the writer runs; a refusal shows that it did.
  for (int i = 0; i < 300 || (refused == 0 && i < 100'000); ++i) {
    v1::LossSpec& spec = *request.mutable_spec();
    spec.set_kind(i % 3 == 0 ? v1::LOSS_KIND_SIGMOID_FOCAL
                             : v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY);
    spec.set_normalizer(i % 2 == 0 ? v1::NORMALIZER_VALID
                                   : v1::NORMALIZER_ELEMENTS);
    spec.set_nan_policy(i % 5 == 0 ? v1::NAN_POLICY_PROPAGATE
                                   : v1::NAN_POLICY_REJECT);
    if (i % 4 == 0) spec.set_ignore_target(1);
    request.mutable_targets()->set_dtype(i % 7 == 0 ? v1::DATA_TYPE_INT32
                                                    : v1::DATA_TYPE_FLOAT32);
    v1::ComputeLossResponse response;
    const grpc::Status status = server_.Call(request, &response);
    if (status.ok()) continue;
    ++refused;
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT)
        << status.error_message();
  }
  stop = true;
  writer.join();
  EXPECT_GT(refused, 0);
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server_.Call(Shared(kCount), &response).ok());
}

TEST_F(SharedMemory, IsAdvertisedAndItsBytesAreCounted) {
  v1::GetServerInfoResponse info;
  grpc::ClientContext context;
  ASSERT_TRUE(server_.stub()
                  .GetServerInfo(&context, v1::GetServerInfoRequest(), &info)
                  .ok());
  EXPECT_TRUE(info.supports_shared_memory());
  EXPECT_EQ(server_.server().shared_memory_bytes(),
            static_cast<int64_t>(kBytes));
  CloseAndAwait();
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
}

// Holds the first request in the queue until a second one arrives.
class HeldRequest : public SharedMemory {
 protected:
  static Config Held() {
    Config config = WithSocket();
    config.rpc_threads = 1;
    config.max_queue_delay = absl::Seconds(10);
    config.max_batch_requests = 2;
    return config;
  }
  HeldRequest() : SharedMemory(Held()) {}
};

TEST_F(HeldRequest, IsComputedThoughItsClientIsGone) {
  PendingCall call(server_, Shared(1000));
  ASSERT_TRUE(server_.WaitForTaken(1));
  CloseAndAwait();
  EXPECT_EQ(server_.server().shared_memory_bytes(),
            static_cast<int64_t>(kBytes));
  v1::ComputeLossResponse response;
  EXPECT_TRUE(server_.Call(SomeRequest(10), &response).ok());
  EXPECT_TRUE(call.Wait().ok()) << call.Wait().error_message();
  server_.CountAll();
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
}

// The server reads the region after the client has released it, and still finds
// the data there.
TEST_F(HeldRequest, IsComputedThoughItsRegionIsReleased) {
  v1::ComputeLossRequest request = Shared(1000);
  request.clear_gradient_destination();  // the reply carries it
  v1::ComputeLossResponse expected, response;
  PendingCall by_data(server_, SomeRequest(1000));
  ASSERT_TRUE(server_.Call(SomeRequest(1000), &expected).ok());
  ASSERT_TRUE(by_data.Wait().ok());
  // A client may have its answer before the server has released the request.
  ASSERT_TRUE(server_.WaitUntilIdle());
  std::thread held([&] { EXPECT_TRUE(server_.Call(request, &response).ok()); });
  EXPECT_TRUE(server_.WaitForTaken(1));
  EXPECT_TRUE(client_.Release(name_)->reply.has_released());
  EXPECT_EQ(server_.server().shared_memory_bytes(),
            static_cast<int64_t>(kBytes));
  v1::ComputeLossResponse second;
  EXPECT_TRUE(server_.Call(SomeRequest(10), &second).ok());
  held.join();
  EXPECT_EQ(response.loss(), expected.loss());
  EXPECT_EQ(response.gradient().data(), expected.gradient().data());
  server_.CountAll();
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
}

TEST_F(HeldRequest, LetsGoOfItsRegionWhenItIsCancelled) {
  PendingCall call(server_, Shared(1000));
  ASSERT_TRUE(server_.WaitForTaken(1));
  CloseAndAwait();
  call.Cancel();
  EXPECT_EQ(call.Wait().error_code(), StatusCode::CANCELLED);
  // A request that stays in the queue would outlast this timeout.
  EXPECT_TRUE(server_.server().Shutdown(absl::Seconds(5)));
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
}

TEST(WithoutSharedMemory, TheServerDoesNotAdvertiseIt) {
  RunningServer server;
  v1::GetServerInfoResponse info;
  grpc::ClientContext context;
  ASSERT_TRUE(server.stub()
                  .GetServerInfo(&context, v1::GetServerInfoRequest(), &info)
                  .ok());
  EXPECT_FALSE(info.supports_shared_memory());
}

TEST(WithSharedMemory, ASocketPathInUseIsNamedAtTheStart) {
  const Config config = WithSocket();
  RunningServer server(config);
  Config second = config;
  second.listen = second.metrics_listen = "127.0.0.1:0";
  const auto refused = Server::Create(second);
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr(config.shared_memory_socket));
}

}  // namespace
}  // namespace lossd
