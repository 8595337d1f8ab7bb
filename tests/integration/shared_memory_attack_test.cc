// A worker of the same host that means harm to the server or to another worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/integration/running_server.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using shared_memory::Mapping;
using shared_memory::OpenDescriptors;
using shared_memory::RawClient;
using Random = std::mt19937_64;

constexpr uint64_t kBytes = 1 << 18;  // of every region

// Whether something happens that does once in `times`.
bool OneIn(Random& random, uint64_t times) { return random() % times == 0; }

// The newest regions of the attackers, alive or gone, and how often they were
// used: a region lives until some more requests have been sent.
class Targets {
 public:
  void Add(std::string name) {
    const absl::MutexLock lock(&mu_);
    names_.push_back(std::move(name));
    if (names_.size() > 4) names_.pop_front();
  }
  std::string Any(Random& random) {
    const absl::MutexLock lock(&mu_);
    ++uses_;
    if (names_.empty() || OneIn(random, 50)) return std::string(32, 'f');
    return names_[random() % names_.size()];
  }
  void AwaitUses(uint64_t more) {
    const absl::MutexLock lock(&mu_);
    const uint64_t until = uses_ + more;
    const auto reached = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return ended_ || uses_ >= until;
    };
    mu_.Await(absl::Condition(&reached));
  }
  void End() {
    const absl::MutexLock lock(&mu_);
    ended_ = true;
  }
  bool ended() {
    const absl::MutexLock lock(&mu_);
    return ended_;
  }

 private:
  absl::Mutex mu_;
  std::deque<std::string> names_ ABSL_GUARDED_BY(mu_);
  uint64_t uses_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

// One connection after the other, each ended with regions that requests still
// read; sometimes with an answer, and the descriptor in it, that nobody took.
void OpenAndClose(const std::string& path, uint64_t seed, Targets& targets) {
  Random random(seed);
  while (!targets.ended()) {
    RawClient client(path);
    ASSERT_TRUE(client.connected());
    for (int i = 0; i < 3; ++i) {
      const auto answer = client.Register(kBytes);
      ASSERT_TRUE(answer.has_value() && answer->file.open());
      const std::string& name = answer->reply.region().name();
      const Mapping mapping(answer->file, kBytes);
      targets.Add(name);
      for (int word = 0; word < 2000; ++word) {
        // Sometimes the whole range of bits, else numbers that are computed.
        const uint64_t bits =
            OneIn(random, 64) ? random() : uint64_t{0x3F0000003F800000};
        std::memcpy(&mapping.bytes()[random() % (kBytes - 8)], &bits, 8);
      }
      targets.AwaitUses(random() % 12);
      if (OneIn(random, 2)) {
        EXPECT_TRUE(client.Release(name)->reply.has_released());
      }
    }
    if (OneIn(random, 3)) {
      v1::SharedMemoryRequest request;
      request.mutable_register_region()->set_byte_size(kBytes);
      client.Send(request.SerializeAsString());
    }
  }
}

// `needed` bytes of some region, where it ends, or nearly so; or others.
v1::SharedMemoryRef SomeBytes(Random& random, Targets& targets,
                              uint64_t needed) {
  v1::SharedMemoryRef ref;
  ref.set_region(targets.Any(random));
  ref.set_byte_size(needed);
  const uint64_t last = needed <= kBytes ? kBytes - needed : 0;
  ref.set_offset(OneIn(random, 2) ? last : random() % (last + 1));
  if (OneIn(random, 40)) ref.set_offset(last + 1);
  if (OneIn(random, 40)) ref.set_offset(~uint64_t{0} - random() % kBytes);
  if (OneIn(random, 40)) ref.set_byte_size(needed + random() % 3 - 1);
  if (OneIn(random, 80)) ref.set_byte_size(~uint64_t{0} - ref.offset() + 1);
  return ref;
}

uint64_t BytesOf(v1::DataType dtype, uint64_t count) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT64:
    case v1::DATA_TYPE_INT64:
      return count * 8;
    case v1::DATA_TYPE_FLOAT32:
    case v1::DATA_TYPE_INT32:
      return count * 4;
    case v1::DATA_TYPE_BFLOAT16:
    case v1::DATA_TYPE_FLOAT16:
      return count * 2;
    case v1::DATA_TYPE_BIT:
      return (count + 7) / 8;
    default:
      return count;
  }
}

v1::DataType SomeDtype(Random& random, int kinds) {
  return static_cast<v1::DataType>(
      1 + random() % static_cast<unsigned>(kinds));  // numbers of the contract
}

constexpr int kFloats = 4;    // FLOAT32 to FLOAT16
constexpr int kAnyDtype = 9;  // all
constexpr int kLossKinds = 3;

v1::LossSpec SomeSpec(Random& random) {
  v1::LossSpec spec;
  spec.set_kind(static_cast<v1::LossKind>(1 + random() % kLossKinds));
  spec.set_focal_gamma(2);
  spec.set_asymmetric_gamma_negative(4);
  spec.set_reduction(OneIn(random, 3) ? v1::REDUCTION_NONE
                                      : v1::REDUCTION_MEAN);
  spec.set_normalizer(OneIn(random, 2) ? v1::NORMALIZER_VALID
                                       : v1::NORMALIZER_WEIGHT_SUM);
  spec.set_nan_policy(OneIn(random, 3) ? v1::NAN_POLICY_REJECT
                                       : v1::NAN_POLICY_PROPAGATE);
  if (OneIn(random, 3)) spec.set_ignore_target(0);
  spec.set_gradient_dtype(SomeDtype(random, kFloats));
  return spec;
}

// Most are right in themselves, so that the kernel reads what changes.
v1::ComputeLossRequest SomeAttack(Random& random, Targets& targets) {
  constexpr uint64_t kCounts[] = {1, 63, 2048, 2049, 8191, 30000};
  const uint64_t count = kCounts[random() % std::size(kCounts)];
  v1::ComputeLossRequest request;
  *request.mutable_spec() = SomeSpec(random);
  const auto refer = [&](v1::Tensor* tensor, int kinds) {
    const v1::DataType dtype = SomeDtype(random, kinds);
    tensor->set_dtype(dtype);
    tensor->add_shape(static_cast<int64_t>(count));
    *tensor->mutable_shared_memory() =
        SomeBytes(random, targets, BytesOf(dtype, count));
  };
  refer(request.mutable_logits(), kFloats);
  refer(request.mutable_targets(), kAnyDtype);
  if (OneIn(random, 2)) refer(request.mutable_weights(), kFloats);
  if (OneIn(random, 4)) refer(request.mutable_pos_weight(), kFloats);
  if (OneIn(random, 2)) {
    v1::SharedMemoryRef ref = SomeBytes(
        random, targets, BytesOf(request.spec().gradient_dtype(), count));
    ref.set_offset(ref.offset() / 64 * 64);
    *request.mutable_gradient_destination() = ref;
  }
  return request;
}

class Attack : public testing::Test {
 protected:
  static Config WithSocket() {
    Config config;
    config.shared_memory_socket = shared_memory::TestSocketPath();
    config.cpu_threads = 2;
    config.rpc_threads = 1;
    return config;
  }

  // What the server said, by code, to `calls` requests.
  std::map<StatusCode, int> Send(uint64_t seed, int calls, Targets& targets) {
    Random random(seed);
    std::map<StatusCode, int> answers;
    for (int i = 0; i < calls; ++i) {
      v1::ComputeLossResponse response;
      const v1::ComputeLossRequest request = SomeAttack(random, targets);
      const grpc::Status status = server_.Call(request, &response);
      ++answers[status.error_code()];
      switch (status.error_code()) {
        case StatusCode::OK:
        case StatusCode::INVALID_ARGUMENT:
        case StatusCode::NOT_FOUND:
        case StatusCode::FAILED_PRECONDITION:
          break;
        default:
          ADD_FAILURE() << status.error_code() << status.error_message()
                        << request.DebugString();
      }
    }
    return answers;
  }

  // A worker that minds its own business asks again and again, until `ended`.
  void AskBeside(const std::atomic<bool>& ended) {
    constexpr int64_t kCount = 20000;
    constexpr size_t kSize = kCount * sizeof(float);
    constexpr size_t kGradient = 2 << 17;
    RawClient client(path_);
    const auto answer = client.Register(2 * kBytes);
    ASSERT_TRUE(answer.has_value());
    const Mapping mapping(answer->file, 2 * kBytes);
    v1::ComputeLossRequest request = SomeRequest(kCount);
    v1::ComputeLossResponse expected;
    ASSERT_TRUE(server_.Call(request, &expected).ok());
    uint64_t offset = 0;
    for (v1::Tensor* tensor :
         {request.mutable_logits(), request.mutable_targets()}) {
      const std::string data = tensor->data();
      std::memcpy(&mapping.bytes()[offset], data.data(), data.size());
      Name(tensor->mutable_shared_memory(), *answer, offset, data.size());
      offset += kSize;
    }
    Name(request.mutable_gradient_destination(), *answer, kGradient, kSize);
    std::string whole(2 * kBytes, '\0');
    std::memcpy(whole.data(), mapping.bytes().data(), 2 * kSize);
    std::memcpy(&whole[kGradient], expected.gradient().data().data(), kSize);
    do {
      std::memset(&mapping.bytes()[kGradient], 0, kSize);
      v1::ComputeLossResponse response;
      const grpc::Status status = server_.Call(request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      ASSERT_EQ(response.loss(), expected.loss());
      ASSERT_EQ(std::memcmp(whole.data(), mapping.bytes().data(), 2 * kBytes),
                0);
    } while (!ended);
  }

  static void Name(v1::SharedMemoryRef* ref, const RawClient::Answer& answer,
                   uint64_t offset, uint64_t byte_size) {
    ref->set_region(answer.reply.region().name());
    ref->set_offset(offset);
    ref->set_byte_size(byte_size);
  }

  // Open ones, when the server has dealt with the end of every other client:
  // connections are served in the order they came.
  int DescriptorsWithOneClient() {
    RawClient last(path_);
    EXPECT_TRUE(last.Release("x").has_value());
    return OpenDescriptors();
  }

  const std::string path_ = WithSocket().shared_memory_socket;
  RunningServer server_{WithSocket()};
};

// Regions change, are released and lose their connection while requests read
// them, with references that are wrong in every way.
TEST_F(Attack, HarmsNeitherTheServerNorTheWorkerBesideIt) {
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server_.Call(SomeRequest(10), &response).ok());
  const int descriptors = DescriptorsWithOneClient();
  // Each sender asks about regions that no other sender names: else two
  // requests at once would write what the other reads. That harms nobody
  // either, but is a race of the server's own threads, as the thread sanitizer
  // would say.
  std::array<Targets, 2> targets;
  std::array<std::map<StatusCode, int>, 2> answers;
  std::vector<std::thread> owners, senders;
  for (size_t i = 0; i < targets.size(); ++i) {
    owners.emplace_back([&, i] { OpenAndClose(path_, i, targets[i]); });
    senders.emplace_back(
        [&, i] { answers[i] = Send(10 + i, 600, targets[i]); });
  }
  std::atomic<bool> ended{false};
  std::thread worker([&] { AskBeside(ended); });
  for (std::thread& sender : senders) sender.join();
  for (Targets& each : targets) each.End();
  for (std::thread& owner : owners) owner.join();
  ended = true;
  worker.join();
  for (const auto& answer : answers) {
    for (const StatusCode code :
         {StatusCode::OK, StatusCode::INVALID_ARGUMENT, StatusCode::NOT_FOUND,
          StatusCode::FAILED_PRECONDITION}) {
      EXPECT_TRUE(answer.contains(code)) << code;  // the attack is one
    }
  }
  EXPECT_EQ(DescriptorsWithOneClient(), descriptors);
  EXPECT_TRUE(server_.Call(SomeRequest(10), &response).ok());
  server_.CountAll();
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
}

}  // namespace
}  // namespace lossd
