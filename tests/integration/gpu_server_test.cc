// Compares the whole server on this machine's GPUs with the whole server on its
// CPU. Answers have equal bytes in every batch, however a request is cut, and
// for every number of CUDA streams. Skips where there is no device, and says
// why.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/execution/cuda/device.h"
#include "tests/integration/loss_stream.h"
#include "tests/integration/random_request.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

constexpr unsigned kRequests = 160;

// Sets the CUDA streams and the pinned memory of a server. With little pinned
// memory, some batches are computed in halves and some requests on the CPU.
struct Setting {
  int streams;
  int64_t max_pinned_bytes;
};

class GpuServer : public testing::Test {
 protected:
  void SetUp() override {
    const auto devices = execution::cuda::OpenDevices({});
    if (!devices.ok()) GTEST_SKIP() << devices.status();
  }

  static Config On(const Setting& setting) {
    Config config;
    config.backend = Backend::kCuda;
    config.cuda_streams = setting.streams;
    config.max_pinned_bytes = setting.max_pinned_bytes;
    return config;
  }

  // Returns the part of an answer that depends on the arithmetic alone, or the
  // error message.
  static std::string Answer(RunningServer& server,
                            const v1::ComputeLossRequest& request) {
    v1::ComputeLossResponse response;
    const grpc::Status status = server.Call(request, &response);
    response.clear_execution();
    return status.ok() ? response.SerializeAsString() : status.error_message();
  }

  // Returns the CPU's answers to the requests of the first kRequests seeds.
  static const std::vector<std::string>& Expected() {
    static const auto* const kAnswers = [] {
      Config config;
      config.backend = Backend::kCpu;
      RunningServer cpu(config);
      auto* answers = new std::vector<std::string>;
      for (unsigned seed = 0; seed < kRequests; ++seed) {
        answers->push_back(Answer(cpu, RandomRequest(seed).Make()));
      }
      return answers;
    }();
    return *kAnswers;
  }
};

TEST_F(GpuServer, AnswersWithTheBytesOfTheCpuForAnyNumberOfConcurrentCalls) {
  constexpr Setting kSettings[] = {{1, 1 << 28}, {3, 1 << 28}, {8, 1 << 20}};
  for (const Setting& setting : kSettings) {
    RunningServer server(On(setting));
    EXPECT_EQ(server.server().backend().substr(0, 5), "cuda/");
    std::atomic<unsigned> next = 0;
    std::vector<std::string> answers(kRequests);
    std::vector<std::thread> clients;
    for (int k = 0; k < 12; ++k) {
      clients.emplace_back([&] {
        for (unsigned seed = next++; seed < kRequests; seed = next++) {
          answers[seed] = Answer(server, RandomRequest(seed).Make());
        }
      });
    }
    for (std::thread& client : clients) client.join();
    for (unsigned seed = 0; seed < kRequests; ++seed) {
      EXPECT_TRUE(answers[seed] == Expected()[seed])
          << "seed " << seed << ", streams " << setting.streams;
    }
    EXPECT_EQ(server.Counter("lossd_device_errors_total"), 0);
  }
}

// A stream gives the unary call's bits wherever its messages are cut.
TEST_F(GpuServer, StreamsHaveTheBitsOfUnaryCalls) {
  RunningServer server(On({4, 1 << 28}));
  for (unsigned seed = 0; seed < 40; ++seed) {
    RandomRequest maker(seed);
    const v1::ComputeLossRequest request = maker.Make();
    v1::ComputeLossResponse unary;
    ASSERT_TRUE(unary.ParseFromString(Expected()[seed])) << "seed " << seed;
    Messages messages = CutAtRandom(request, 0.3, maker.random());
    StreamAnswer answer = RunStream(server, messages);
    // A normalizer is declared only where it depends on the data.
    if (!answer.status.ok() || answer.summary->has_gradient_scale()) {
      if (unary.normalizer() == 0) continue;
      messages[0].mutable_header()->set_declared_normalizer(unary.normalizer());
      answer = RunStream(server, messages);
    }
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    ASSERT_TRUE(answer.summary.has_value());
    EXPECT_EQ(std::bit_cast<uint64_t>(answer.summary->loss()),
              std::bit_cast<uint64_t>(unary.loss()))
        << "seed " << seed;
    EXPECT_TRUE(answer.losses == unary.losses().data()) << "seed " << seed;
    EXPECT_FALSE(answer.summary->has_gradient_scale()) << "seed " << seed;
    EXPECT_TRUE(answer.gradient == unary.gradient().data()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace lossd
