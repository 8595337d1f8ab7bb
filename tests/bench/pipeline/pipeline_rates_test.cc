// Tests the measurement of a device's pipeline on a fake device: it computes as
// many batches as it reports, and it gives back everything it took.
#include "bench/pipeline/pipeline_rates.h"

#include <gtest/gtest.h>

#include "tests/server/execution/cuda/fake_device.h"

namespace lossd::bench {
namespace {

using execution::cuda::DeviceCall;
using execution::cuda::DeviceTraces;
using execution::cuda::FakeDevice;
using kernels::ElementType;

// Advances by one millisecond each time it is read.
class SteppingClock final : public Clock {
 public:
  absl::Time Now() const override {
    return absl::UnixEpoch() + absl::Milliseconds(++looks_);
  }
  void Wait(absl::Mutex*, absl::CondVar*, absl::Time) const override {}

 private:
  mutable std::atomic<int> looks_ = 0;
};

class PipelineRatesTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(traces_.misuses, 0);
    EXPECT_EQ(traces_.live, 0);
  }
  DeviceTraces traces_;
  FakeDevice device_{&traces_};
  SteppingClock clock_;
};

TEST_F(PipelineRatesTest, CountsTheBatchesOfAnInterval) {
  const PipelineLoad load = {
      .elements = 5000, .slots = 1, .time = absl::Milliseconds(20)};
  EXPECT_EQ(BytesIn(load), 40'000u);
  EXPECT_EQ(BytesOut(load), 20'000u);
  for (const auto measure : {StagedRate, PinnedRate}) {
    const int before = device_.calls(DeviceCall::kLaunch);
    const auto rate = measure(device_, load, clock_);
    ASSERT_TRUE(rate.ok()) << rate.status();
    EXPECT_NEAR(*rate, 1000, 1e-6);  // one for each reading of the clock
    // One more batch is computed before the clock is first read.
    EXPECT_EQ(device_.calls(DeviceCall::kLaunch) - before, 1 + 20);
  }
}

TEST_F(PipelineRatesTest, EverySlotHasItsShareAtTheSameTime) {
  device_.WorkByItself(1);
  const PipelineLoad load = {.logits = ElementType::kBFloat16,
                             .targets = ElementType::kBit,
                             .elements = 4000,
                             .slots = 3,
                             .time = absl::Milliseconds(30)};
  EXPECT_EQ(BytesIn(load), 8500u);
  for (const auto measure : {StagedRate, PinnedRate}) {
    const int before = device_.calls(DeviceCall::kLaunch);
    ASSERT_TRUE(measure(device_, load, clock_).ok());
    EXPECT_GE(device_.calls(DeviceCall::kLaunch) - before, 3 + 3);
  }
}

TEST_F(PipelineRatesTest, TheBusIsMeasuredInEachDirectionAndInBoth) {
  const auto bus = MeasureBus(device_, 1 << 16, absl::Milliseconds(10), clock_);
  ASSERT_TRUE(bus.ok()) << bus.status();
  EXPECT_NEAR(bus->to_device, 1000.0 * (1 << 16), 1);
  EXPECT_NEAR(bus->to_host, 1000.0 * (1 << 16), 1);
  EXPECT_GT(bus->both_to_device, 0);
  EXPECT_GT(bus->both_to_host, 0);
}

TEST_F(PipelineRatesTest, AnyCallThatFailsEndsTheMeasurementWithItsError) {
  const PipelineLoad load = {
      .elements = 100, .slots = 2, .time = absl::Milliseconds(10)};
  for (const auto measure : {StagedRate, PinnedRate}) {
    for (int nth = 0; nth < 16; ++nth) {
      device_.FailCall(nth, absl::InternalError("asked for"));
      EXPECT_EQ(measure(device_, load, clock_).status(),
                absl::InternalError("asked for"))
          << "call " << nth;
    }
  }
}

}  // namespace
}  // namespace lossd::bench
