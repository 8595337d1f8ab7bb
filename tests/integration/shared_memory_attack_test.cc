// A malicious worker on the server's host can harm neither the server nor
// another worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/attack.h"
#include "tests/integration/running_server.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using shared_memory::Mapping;
using shared_memory::OpenDescriptors;
using shared_memory::RawClient;

// Opens one connection after the other and closes each while requests still
// read its regions. Some are closed before the last answer, which carries a
// descriptor, was received.
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
        // One word in 64 has random bits; the others are two valid floats.
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

class Attack : public testing::Test {
 protected:
  static Config WithSocket() {
    Config config;
    config.shared_memory_socket = shared_memory::TestSocketPath();
    config.cpu_threads = 2;
    config.rpc_threads = 1;
    return config;
  }

  // Sends at least `least` attacks and returns how many got each status code.
  std::map<StatusCode, int> Send(uint64_t seed, int least, Targets& targets) {
    Random random(seed);
    return AttackUntilAllAnswersCame(least, [&] {
      v1::ComputeLossResponse response;
      const v1::ComputeLossRequest request = SomeAttack(random, targets);
      const grpc::Status status = server_.Call(request, &response);
      EXPECT_THAT(kAttackAnswers, testing::Contains(status.error_code()))
          << status.error_message() << request.DebugString();
      return status.error_code();
    });
  }

  // Asks as an honest worker until `ended`, and expects right answers in memory
  // that nobody else writes.
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

  // Counts this process's open descriptors after the server has closed all
  // other clients. It serves connections in the order they came, so the answer
  // to a new one proves that the others are closed.
  int DescriptorsWithOneClient() {
    RawClient last(path_);
    EXPECT_TRUE(last.Release("x").has_value());
    return OpenDescriptors();
  }

  const std::string path_ = WithSocket().shared_memory_socket;
  RunningServer server_{WithSocket()};
};

// Regions are written, released and disconnected while requests read them
// through references that are wrong in every way.
TEST_F(Attack, HarmsNeitherTheServerNorTheWorkerBesideIt) {
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server_.Call(SomeRequest(10), &response).ok());
  const int descriptors = DescriptorsWithOneClient();
  // Each sender names regions of its own. If two senders shared a region, two
  // requests could write what the other reads: that is harmless, but the thread
  // sanitizer would report it as a race of the server's own threads.
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
    for (const StatusCode code : kAttackAnswers) {
      EXPECT_TRUE(answer.contains(code)) << code;
    }
  }
  EXPECT_EQ(DescriptorsWithOneClient(), descriptors);
  EXPECT_TRUE(server_.Call(SomeRequest(10), &response).ok());
  server_.CountAll();
  EXPECT_EQ(server_.server().shared_memory_bytes(), 0);
}

}  // namespace
}  // namespace lossd
