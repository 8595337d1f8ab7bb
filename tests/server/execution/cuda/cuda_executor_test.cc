// Tests the executor over fake devices: what is submitted to them, in which
// order, and that every task is answered with the bits of the CPU.
#include "tests/server/execution/cuda/cuda_executor_test.h"

#include "kernels/cpu/sampler.h"

namespace lossd::execution::cuda {
namespace {

TEST_F(CudaExecutorTest, IsNamedAfterItsFirstDevice) {
  Build(2, 3, 1);
  EXPECT_EQ(executor_->backend(), "cuda/0");
}

TEST_F(CudaExecutorTest, ComputesABatchInOneLaunchWithTheBitsOfTheCpu) {
  Build(1, 1, 8);
  for (uint64_t elements : {1, 100, 2048, 2049, 3000, 9000, 64, 20000}) {
    Enqueue(elements);
  }
  RunAll();
  ExpectAllRight();
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 1);
  EXPECT_EQ(tasks_[5].answer.backend, "cuda/0");
  EXPECT_EQ(tasks_[5].answer.batch_requests, 8);
  EXPECT_EQ(DeviceErrors(), 0);
}

// D93
TEST_F(CudaExecutorTest, SamplesTheTensorsOfTheHostForTheirJob) {
  Build(1, 3, 8);
  observability::JobMetrics& jobs = metrics_.jobs();
  const uint64_t job = jobs.names().NumberOf("other", clock_.Now());
  kernels::Sample expected;
  for (const uint64_t elements : {100, 3000, 300000}) {
    DataTask& task = tasks_.emplace_back(elements, 0);
    task.job = job;
    batcher_->Enqueue(&task);
  }
  RunAll();
  for (DataTask& task : tasks_) {
    ExpectRight(task);
    expected.Add(kernels::cpu::Sampler(task.segment)
                     .SampleBlocks(0, kernels::BlockCount(task.segment)));
  }
  using observability::JobTotals;
  const JobTotals totals = jobs.Totals().at(0);
  EXPECT_EQ(totals.counts[JobTotals::kRequests], 3);
  EXPECT_EQ(totals.counts[JobTotals::kElements], 303100);
  EXPECT_EQ(totals.counts[JobTotals::kSampled],
            static_cast<int64_t>(expected.elements));
  EXPECT_EQ(totals.counts[JobTotals::kPositives],
            static_cast<int64_t>(expected.positives));
  EXPECT_NEAR(totals.sums[JobTotals::kGradientSquares],
              expected.gradient_squares, 1e-12 * expected.gradient_squares);
}

// D73
TEST_F(CudaExecutorTest, RowsAreComputedByTheCpuBesideTheRestOfTheirBatch) {
  Build(1, 1, 8);
  DataTask& rows = tasks_.emplace_back(3 * 2048, 0);
  rows.GiveRows(1024, kernels::Reduction::kMeanOfRows);
  rows.segment.options.normalizer = kernels::Normalizer::kValid;
  rows.segment.options.ignore_target = 1.0;
  batcher_->Enqueue(&rows);
  DataTask& plain = Enqueue(3000);
  RunAll();
  ExpectRight(plain);
  EXPECT_EQ(plain.answer.backend, "cuda/0");
  ASSERT_TRUE(rows.was_computed);
  EXPECT_EQ(rows.answer.backend, cpu_.backend());
  EXPECT_EQ(rows.answer.normalizer, 6);
  EXPECT_GT(rows.answer.totals.loss_sum, 0);
}

// The second task is counted in portions first.
TEST_F(CudaExecutorTest, AHugeRequestIsDividedSoThatItsCopiesOverlap) {
  for (const int huge : {0, 1}) {
    tasks_.clear();
    Build(1, 3, 8);
    if (huge == 1) Enqueue(1);
    Enqueue(300000);
    RunAll();
    ExpectAllRight();
    const std::vector<DeviceWork> work = devices_[0]->work();
    const auto copies =
        std::ranges::count(work, DeviceWork::Kind::kCopyIn, &DeviceWork::kind);
    EXPECT_GE(copies, 3);
    for (const DeviceWork& one : work) EXPECT_LE(one.bytes, 900000u);
    EXPECT_EQ(tasks_.back().answer.backend, "cuda/0");
    batcher_->Close();
  }
}

TEST_F(CudaExecutorTest, ATaskWithoutAGradientGetsItsLossAlone) {
  Build(1, 1, 1);
  DataTask& task = tasks_.emplace_back(5000, 1);
  std::byte* const gradient = std::exchange(task.segment.gradient, nullptr);
  batcher_->Enqueue(&task);
  RunAll();
  task.segment.gradient = gradient;
  const std::vector<uint32_t> untouched(5000, 0);
  EXPECT_EQ(task.gradient_bits(), untouched);
  EXPECT_GT(task.answer.totals.loss_sum, 0);
}

TEST_F(CudaExecutorTest, SlotsOverlap) {
  Build(1, 3, 1);
  devices_[0]->Hold();
  for (int k = 0; k < 3; ++k) Enqueue(1000);
  executor_->Start(*batcher_);
  devices_[0]->AwaitHeld(
      3);  // hangs unless three batches are in flight at once
  EXPECT_EQ(batcher_->busy_executors(), 3);
  devices_[0]->Release();
  for (DataTask& task : tasks_) task.finished.WaitForNotification();
  CloseAndJoin();
  ExpectAllRight();
}

// Returns how long the work takes if each piece takes 1. A device has an engine
// for copies in, one for kernels and one for copies out. Each takes work of its
// kind in the order of submission, and the work of a stream runs in order.
int Makespan(const std::vector<DeviceWork>& work) {
  std::map<DeviceWork::Kind, int> engines;
  std::map<int, int> streams;
  int end = 0;
  for (const DeviceWork& piece : work) {
    int& engine = engines[piece.kind];
    int& stream = streams[piece.stream];
    engine = stream = std::max(engine, stream) + 1;
    end = std::max(end, engine);
  }
  return end;
}

// One after the other, four batches would take 12. All are submitted before any
// is done, so that only the device decides when they run.
TEST_F(CudaExecutorTest, CopiesInKernelsAndCopiesOutOverlap) {
  Build(1, 4, 1);
  devices_[0]->Hold();
  executor_->Start(*batcher_);
  for (int k = 1; k <= 4; ++k) {
    Enqueue(1000);
    devices_[0]->AwaitHeld(k);
  }
  const std::vector<DeviceWork> work = devices_[0]->work();
  devices_[0]->Release();
  CloseAndJoin();
  ExpectAllRight();
  ASSERT_EQ(work.size(), 12u);
  EXPECT_EQ(Makespan(work), 4 + 2);
}

TEST_F(CudaExecutorTest, WhatIsDoneFirstIsAnsweredFirst) {
  Build(1, 2, 1);
  devices_[0]->Hold();
  executor_->Start(*batcher_);
  DataTask& older = Enqueue(1000);
  devices_[0]->AwaitHeld(1);
  DataTask& newer = Enqueue(1000);
  devices_[0]->AwaitHeld(2);
  devices_[0]->ReleaseNewest();
  newer.finished.WaitForNotification();
  EXPECT_FALSE(older.finished.HasBeenNotified());
  devices_[0]->Release();
  CloseAndJoin();
  ExpectAllRight();
}

TEST_F(CudaExecutorTest, TasksCoalesceWhileAllSlotsAreOut) {
  Build(1, 1, 64);
  devices_[0]->Hold();
  executor_->Start(*batcher_);
  Enqueue(10);
  devices_[0]->AwaitHeld(1);
  for (int k = 0; k < 20; ++k) Enqueue(100);
  devices_[0]->Release();
  CloseAndJoin();
  ExpectAllRight();
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kLaunch), 2);
  EXPECT_EQ(tasks_.back().answer.batch_requests, 20);
}

TEST_F(CudaExecutorTest, ClosingStillAnswersWhatIsQueuedAndWhatIsOut) {
  Build(1, 2, 3);
  devices_[0]->Hold();
  for (int k = 0; k < 40; ++k) Enqueue(1 + 700 * static_cast<uint64_t>(k));
  executor_->Start(*batcher_);
  devices_[0]->AwaitHeld(2);
  batcher_->Close();
  devices_[0]->Release();
  executor_->Join();
  ExpectAllRight();
}

}  // namespace
}  // namespace lossd::execution::cuda
