// A malicious worker on the server's host can harm neither the server's GPUs
// nor the memory that another worker lends on them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/attack.h"
#include "tests/integration/running_server.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/shared_memory/raw_client.h"

namespace lossd {
namespace {

using execution::cuda::Device;
using execution::cuda::DeviceTraces;
using execution::cuda::FakeAllocation;
using execution::cuda::FakeDevice;
using execution::cuda::FakeUuid;
using grpc::StatusCode;
using shared_memory::RawClient;

template <typename Array>
std::string Text(const Array& bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

v1::RegisterDeviceMemory Offer(const FakeAllocation& memory,
                               const std::string& device) {
  v1::RegisterDeviceMemory offer;
  offer.set_device_uuid(Text(FakeUuid(device)));
  offer.set_ipc_handle(Text(memory.handle()));
  offer.set_byte_size(memory.bytes().size());
  return offer;
}

// Returns `offer` with one false statement in it.
v1::RegisterDeviceMemory Lie(Random& random, v1::RegisterDeviceMemory offer) {
  switch (random() % 7) {
    case 0:
      offer.set_byte_size(offer.byte_size() + 1);
      break;
    case 1:
      offer.set_offset(64);
      break;
    case 2:
      offer.set_offset(~uint64_t{0} - 63);
      break;
    case 3:
      offer.set_offset(1 + random() % 63);
      break;
    case 4:
      offer.mutable_ipc_handle()->at(random() % 8) ^= 1;
      break;
    case 5:
      offer.mutable_device_uuid()->at(random() % 16) ^= 64;
      break;
    default:
      offer.mutable_ipc_handle()->resize(random() % 64);
  }
  return offer;
}

class DeviceAttack : public testing::Test {
 protected:
  DeviceAttack() {
    Config config;
    config.shared_memory_socket = path_;
    config.rpc_threads = 1;
    server_ =
        std::make_unique<RunningServer>(config, [this](std::span<const int>) {
          std::vector<std::unique_ptr<Device>> made;
          for (const char* name : {"cuda/0", "cuda/1"}) {
            made.push_back(std::make_unique<FakeDevice>(&traces_, name));
          }
          return made;
        });
  }

  // Opens one connection after the other. Each lends memory, after an offer
  // that lies about it, and releases it or disconnects while requests read it.
  void LendAndLeave(uint64_t seed, Targets& targets) {
    Random random(seed);
    while (!targets.ended()) {
      RawClient client(path_);
      ASSERT_TRUE(client.connected());
      for (int i = 0; i < 3; ++i) {
        auto memory = std::make_unique<FakeAllocation>(kBytes);
        const v1::RegisterDeviceMemory offer =
            Offer(*memory, OneIn(random, 4) ? "cuda/1" : "cuda/0");
        const auto refused = client.Lend(Lie(random, offer));
        ASSERT_TRUE(refused.has_value());
        EXPECT_TRUE(refused->reply.has_error()) << offer.DebugString();
        const auto answer = client.Lend(offer);
        ASSERT_TRUE(answer.has_value());
        ASSERT_TRUE(answer->reply.has_region());
        const std::string& name = answer->reply.region().name();
        targets.Add(name);
        for (size_t word = 0; word < 2000; ++word) {
          const uint64_t bits =
              OneIn(random, 64) ? random() : uint64_t{0x3F0000003F800000};
          std::memcpy(&memory->bytes()[random() % (kBytes / 8) * 8], &bits, 8);
        }
        targets.AwaitUses(random() % 12);
        if (OneIn(random, 2)) {
          EXPECT_TRUE(client.Release(name)->reply.has_released());
        }
      }
    }
  }

  static void Align(v1::SharedMemoryRef* ref) {
    ref->set_offset(ref->offset() / 64 * 64);
  }

  static v1::ComputeLossRequest SomeDeviceAttack(Random& random,
                                                 Targets& targets) {
    v1::ComputeLossRequest request = SomeAttack(random, targets);
    if (!OneIn(random, 4)) {  // else most would be misaligned
      Align(request.mutable_logits()->mutable_shared_memory());
      Align(request.mutable_targets()->mutable_shared_memory());
      if (request.has_weights()) {
        Align(request.mutable_weights()->mutable_shared_memory());
      }
    }
    return request;
  }

  std::map<StatusCode, int> Send(uint64_t seed, int least, Targets& targets) {
    Random random(seed);
    return AttackUntilAllAnswersCame(least, [&] {
      v1::ComputeLossResponse response;
      const grpc::Status status =
          server_->Call(SomeDeviceAttack(random, targets), &response);
      EXPECT_NE(status.error_code(), StatusCode::INTERNAL)
          << status.error_message();
      EXPECT_NE(status.error_code(), StatusCode::UNAVAILABLE)
          << status.error_message();
      return status.error_code();
    });
  }

  // Asks as an honest worker until `ended`, and expects right answers in memory
  // that nobody else writes.
  void AskBeside(const std::atomic<bool>& ended) {
    constexpr int64_t kCount = 20000;
    constexpr size_t kSize = kCount * sizeof(float);
    RawClient client(path_);
    const FakeAllocation memory(2 * kBytes);
    const auto answer = client.Lend(Offer(memory, "cuda/0"));
    ASSERT_TRUE(answer->reply.has_region());
    v1::ComputeLossRequest request = SomeRequest(kCount);
    v1::ComputeLossResponse expected;
    ASSERT_TRUE(server_->Call(request, &expected).ok());
    const auto name = [&](v1::SharedMemoryRef* ref, uint64_t offset) {
      ref->set_region(answer->reply.region().name());
      ref->set_offset(offset);
      ref->set_byte_size(kSize);
    };
    uint64_t offset = 0;
    for (v1::Tensor* tensor :
         {request.mutable_logits(), request.mutable_targets()}) {
      const std::string data = tensor->data();
      std::memcpy(&memory.bytes()[offset], data.data(), kSize);
      name(tensor->mutable_shared_memory(), offset);
      offset += kBytes / 2;
    }
    name(request.mutable_gradient_destination(), kBytes);
    std::string whole(reinterpret_cast<const char*>(memory.bytes().data()),
                      memory.bytes().size());
    std::memcpy(&whole[kBytes], expected.gradient().data().data(), kSize);
    do {
      std::memset(&memory.bytes()[kBytes], 0, kSize);
      v1::ComputeLossResponse response;
      const grpc::Status status = server_->Call(request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      ASSERT_EQ(response.loss(), expected.loss());
      ASSERT_EQ(std::memcmp(whole.data(), memory.bytes().data(), whole.size()),
                0);
    } while (!ended);
  }

  const std::string path_ = shared_memory::TestSocketPath();
  DeviceTraces traces_;
  std::unique_ptr<RunningServer> server_;
};

TEST_F(DeviceAttack, HarmsNeitherTheGpusNorTheWorkerBesideIt) {
  Targets targets;
  std::thread owner([&] { LendAndLeave(1, targets); });
  std::atomic<bool> ended{false};
  std::thread worker([&] { AskBeside(ended); });
  const std::map<StatusCode, int> answers = Send(2, 400, targets);
  targets.End();
  owner.join();
  ended = true;
  worker.join();
  for (const StatusCode code : kAttackAnswers) {
    EXPECT_TRUE(answers.contains(code)) << code;
  }
  EXPECT_EQ(server_->Counter("lossd_device_errors_total"), 0);
  server_->CountAll();
  EXPECT_EQ(server_->server().lent_memory_bytes(), 0);
  server_.reset();
  EXPECT_EQ(traces_.live, 0);
  EXPECT_EQ(traces_.misuses, 0);
}

}  // namespace
}  // namespace lossd
