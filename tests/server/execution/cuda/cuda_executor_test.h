// A fixture with an executor over fake devices, whose answers are compared with
// the CPU's.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_TEST_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_TEST_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/cpu_kernel.h"
#include "server/batching/batcher.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/data_task.h"
#include "tests/server/fake_clock.h"
#include "tests/server/observability/exposition.h"

namespace lossd::execution::cuda {

class CudaExecutorTest : public ::testing::Test {
 protected:
  // A batch has at most `requests` requests.
  void Build(int devices, int slots, int requests) {
    const batching::BatcherOptions options = {.max_batch_requests = requests,
                                              .executors = devices * slots,
                                              .min_portion_elements = 4096};
    batcher_ = std::make_unique<batching::Batcher>(options, &clock_);
    std::vector<std::unique_ptr<Device>> owned;
    devices_.clear();
    for (int k = 0; k < devices; ++k) {
      auto device =
          std::make_unique<FakeDevice>(&traces_, "cuda/" + std::to_string(k));
      devices_.push_back(device.get());
      owned.push_back(std::move(device));
    }
    auto pool = *SlotPool::Create(
        std::move(owned),
        {.slots_per_device = slots, .max_pinned_bytes = max_pinned_bytes_});
    pool_ = pool.get();
    executor_ = std::make_unique<CudaExecutor>(
        std::move(pool), cpu_, &metrics_, &clock_, [this] { ++none_left_; });
  }
  DataTask& Enqueue(uint64_t elements) {
    const auto seed = static_cast<unsigned>(tasks_.size());
    DataTask& task = tasks_.emplace_back(elements, seed);
    if (seed % 2 == 1) {  // has a normalizer that must be counted
      task.segment.options.normalizer = kernels::Normalizer::kValid;
      task.segment.options.ignore_target = 1.0;
    }
    batcher_->Enqueue(&task);
    return task;
  }
  // Runs all queued requests on this thread, batch by batch.
  void RunAll() {
    while (batcher_->queued_requests() > 0) executor_->Run(*batcher_->Take());
  }
  void CloseAndJoin() {
    batcher_->Close();
    executor_->Join();
  }
  // Expects that the task is answered with the CPU's loss and gradient.
  void ExpectRight(DataTask& task) {
    ASSERT_TRUE(task.finished.HasBeenNotified());
    ASSERT_TRUE(task.was_computed);
    const std::vector<uint32_t> gradient = task.gradient_bits();
    const kernels::cpu::InstructionSet& kernel =
        kernels::cpu::BestInstructionSet();
    const kernels::Segment& segment = task.segment;
    std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment));
    kernel.count_blocks(segment, 0, partials);
    const double normalizer =
        kernels::NormalizerOf(segment, kernels::Combine(partials));
    kernel.compute_blocks(segment, kernels::GradientScale(segment, normalizer),
                          0, partials);
    EXPECT_EQ(gradient, task.gradient_bits());
    EXPECT_EQ(task.answer.normalizer, normalizer);
    EXPECT_EQ(std::bit_cast<uint64_t>(task.answer.totals.loss_sum),
              std::bit_cast<uint64_t>(kernels::Combine(partials).loss_sum));
  }
  void ExpectAllRight() {
    for (DataTask& task : tasks_) ExpectRight(task);
  }
  double DeviceErrors() {
    const auto scraped = observability::Scrape(metrics_).samples;
    const auto sample =
        scraped.find("lossd_device_errors_total{device=\"cuda/0\"}");
    return sample == scraped.end() ? 0 : sample->second;
  }
  void TearDown() override {
    batcher_->Close();
    executor_.reset();
    EXPECT_EQ(traces_.misuses, 0);
  }

  FakeClock clock_;
  observability::Metrics metrics_{"test", "cuda"};
  CpuExecutor cpu_{{}, &metrics_, &clock_};
  DeviceTraces traces_;
  std::vector<FakeDevice*> devices_;  // the executor's
  std::deque<DataTask> tasks_;
  std::unique_ptr<batching::Batcher> batcher_;
  uint64_t max_pinned_bytes_ = uint64_t{1} << 30;
  SlotPool* pool_ = nullptr;  // the executor's
  std::unique_ptr<CudaExecutor> executor_;
  std::atomic<int> none_left_ = 0;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_CUDA_EXECUTOR_TEST_H_
