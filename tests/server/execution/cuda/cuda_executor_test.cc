// The CUDA executor on a fake device: the bits of the CPU, and no request lost
// at any call that fails.
#include "server/execution/cuda/cuda_executor.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <vector>

#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/open.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/data_task.h"

namespace lossd::execution::cuda {
namespace {

constexpr uint64_t kBlock = kernels::kBlockElements;

std::deque<DataTask> Requests() {
  std::deque<DataTask> tasks;
  unsigned seed = 0;
  for (const uint64_t n :
       {uint64_t{1}, uint64_t{64}, kBlock + 1, 3 * kBlock, uint64_t{77}}) {
    DataTask& task = tasks.emplace_back(n, ++seed);
    if (seed % 2 == 1) {
      task.segment.options.normalizer = kernels::Normalizer::kValid;
      task.segment.options.ignore_target = 1.0;
    }
  }
  return tasks;
}

// A server's part from the batcher to the device.
struct Line {
  explicit Line(std::vector<std::unique_ptr<Device>> devices, int slots = 2) {
    executor = CudaExecutor::Create({.slots_per_device = slots},
                                    std::move(devices), cpu, &metrics, &clock)
                   .value();
    batcher = std::make_unique<batching::Batcher>(
        batching::BatcherOptions{.max_batch_requests = 2,
                                 .executors = executor->concurrency(),
                                 .split_tasks = false},
        &clock);
  }
  void RunToTheEnd(std::deque<DataTask>& tasks) {
    for (DataTask& task : tasks) batcher->Enqueue(&task);
    executor->Start(*batcher);
    batcher->Close();
    executor->Join();
  }

  SystemClock clock;
  observability::Metrics metrics{"test", "cuda/0"};
  CpuExecutor cpu{{.threads = 1}, &metrics, &clock};
  std::unique_ptr<CudaExecutor> executor;
  std::unique_ptr<batching::Batcher> batcher;
};

std::vector<std::unique_ptr<Device>> One(std::unique_ptr<FakeDevice> device) {
  std::vector<std::unique_ptr<Device>> devices;
  devices.push_back(std::move(device));
  return devices;
}

std::vector<std::vector<uint32_t>> GradientsOnTheCpu() {
  SystemClock clock;
  observability::Metrics metrics("test", "cpu");
  batching::Batcher batcher({}, &clock);
  CpuExecutor cpu({.threads = 1}, &metrics, &clock);
  std::deque<DataTask> tasks = Requests();
  for (DataTask& task : tasks) batcher.Enqueue(&task);
  cpu.Start(batcher);
  batcher.Close();
  cpu.Join();
  std::vector<std::vector<uint32_t>> gradients;
  for (DataTask& task : tasks) gradients.push_back(task.gradient_bits());
  return gradients;
}

void ExpectTheBitsOfTheCpu(std::deque<DataTask>& tasks) {
  static const auto* const expected =
      new std::vector<std::vector<uint32_t>>(GradientsOnTheCpu());
  for (size_t k = 0; k < tasks.size(); ++k) {
    EXPECT_EQ(tasks[k].gradient_bits(), (*expected)[k]) << "request " << k;
  }
}

TEST(CudaExecutor, GivesTheBitsOfTheCpu) {
  auto device = std::make_unique<FakeDevice>();
  FakeDevice* const fake = device.get();
  Line line(One(std::move(device)));
  std::deque<DataTask> tasks = Requests();
  line.RunToTheEnd(tasks);
  ExpectTheBitsOfTheCpu(tasks);
  for (DataTask& task : tasks) EXPECT_EQ(task.answer.backend, "cuda/0");
  EXPECT_GT(fake->calls(), 10);
}

TEST(CudaExecutor, LosesNoRequestWhateverCallFails) {
  for (const absl::Status& failure :
       {absl::ResourceExhaustedError("full"), absl::UnavailableError("lost")}) {
    // 4 calls create the slots; two batches are some 20 more.
    for (int call = 0; call < 24; ++call) {
      auto device = std::make_unique<FakeDevice>();
      FakeDevice* const fake = device.get();
      Line line(One(std::move(device)));
      fake->FailCall(call, failure);
      std::deque<DataTask> tasks = Requests();
      line.RunToTheEnd(tasks);  // RecordingTask fails the test if it ends twice
      ExpectTheBitsOfTheCpu(tasks);
    }
  }
}

TEST(CudaExecutor, RetiresADeviceThatIsLost) {
  auto device = std::make_unique<FakeDevice>();
  FakeDevice* const fake = device.get();
  Line line(One(std::move(device)), /*slots=*/1);
  fake->FailCall(0, absl::UnavailableError("lost"));
  std::deque<DataTask> tasks = Requests();
  line.RunToTheEnd(tasks);
  ExpectTheBitsOfTheCpu(tasks);
  for (DataTask& task : tasks) EXPECT_NE(task.answer.backend, "cuda/0");
}

TEST(CudaExecutor, GoesOnAfterAFailureThatIsNotTheDevicesEnd) {
  auto device = std::make_unique<FakeDevice>();
  FakeDevice* const fake = device.get();
  Line line(One(std::move(device)), /*slots=*/1);
  fake->FailCall(0, absl::ResourceExhaustedError("full"));
  std::deque<DataTask> tasks = Requests();
  line.RunToTheEnd(tasks);
  EXPECT_NE(tasks.front().answer.backend, "cuda/0");
  EXPECT_EQ(tasks.back().answer.backend, "cuda/0");
}

TEST(CudaExecutor, HasABatchOnEverySlotAtOnce) {
  auto device = std::make_unique<FakeDevice>();
  FakeDevice* const fake = device.get();
  Line line(One(std::move(device)), /*slots=*/2);
  fake->HoldWaits();
  std::deque<DataTask> tasks = Requests();
  for (DataTask& task : tasks) line.batcher->Enqueue(&task);
  line.executor->Start(*line.batcher);
  fake->AwaitHeld(2);  // hangs if batches do not overlap
  fake->ReleaseWaits();
  line.batcher->Close();
  line.executor->Join();
  ExpectTheBitsOfTheCpu(tasks);
}

TEST(CudaExecutor, SharesWorkAmongDevices) {
  std::vector<std::unique_ptr<Device>> devices;
  devices.push_back(std::make_unique<FakeDevice>("cuda/0"));
  devices.push_back(std::make_unique<FakeDevice>("cuda/1"));
  Line line(std::move(devices), 3);
  EXPECT_EQ(line.executor->concurrency(), 6);
  std::deque<DataTask> tasks = Requests();
  line.RunToTheEnd(tasks);
  ExpectTheBitsOfTheCpu(tasks);
}

// With a real device, where there is one.
TEST(CudaGpu, GivesTheBitsOfTheCpu) {
  auto devices = OpenDevices({});
  if (!devices.ok()) GTEST_SKIP() << "skipped: " << devices.status().message();
  Line line(*std::move(devices));
  std::deque<DataTask> tasks = Requests();
  line.RunToTheEnd(tasks);
  ExpectTheBitsOfTheCpu(tasks);
  for (DataTask& task : tasks)
    EXPECT_EQ(task.answer.backend.substr(0, 5), "cuda/");
}

}  // namespace
}  // namespace lossd::execution::cuda
