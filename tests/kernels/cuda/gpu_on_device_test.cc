// Compares results for tensors that already lie on the device, at any element's
// alignment, with the CPU backend, bit for bit. A vector load at an unaligned
// address would lose the device, which the host cannot show.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/cuda/gpu_fixture.h"
#include "tests/kernels/cuda/on_device_segment.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels::cuda {
namespace {

class GpuMemory {
 public:
  explicit GpuMemory(uint64_t bytes) : bytes_(Allocate(bytes)) {}
  std::byte* get() const { return bytes_.get(); }
  static void Copy(std::byte* to, const std::byte* from, uint64_t bytes) {
    EXPECT_EQ(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), cudaSuccess);
  }

 private:
  DeviceBytes bytes_;
};

constexpr unsigned kAll = 63;  // every tensor of an OnDeviceSegment

// Returns how the device's results differ from the CPU's; "" if no bit does.
std::string DifferencesIfOnDevice(const Segments& owned, std::mt19937& random) {
  std::deque<OnDeviceSegment<GpuMemory>> on_device;
  std::vector<SegmentAnswer> expected;
  std::vector<BatchItem> items;
  for (const auto& one : owned) {
    expected.push_back(one->Compute(cpu::BestInstructionSet()));
    const Segment& segment =
        on_device
            .emplace_back(*one, static_cast<unsigned>(random() % (kAll + 1)),
                          random() % 17)
            .segment();
    items.push_back(
        {&segment, GradientScale(segment, expected.back().normalizer)});
  }
  const BatchLayout layout(items);
  const std::vector<std::byte> output = ComputeOnDevice(layout);
  std::string differences;
  for (size_t k = 0; k < owned.size(); ++k) {
    owned[k]->ForgetResults();
    layout.CopyResults(k, output.data());
    on_device[k].FetchDerivatives();
    const auto partials = layout.Partials(k, output.data());
    const std::string one =
        Difference(owned[k]->AnswerFrom({partials.begin(), partials.end()},
                                        expected[k].normalizer),
                   expected[k]);
    if (!one.empty()) differences += std::to_string(k) + ": " + one + "; ";
  }
  return differences;
}

using GpuOnDevice = GpuKernels;

TEST_F(GpuOnDevice, TensorsGiveTheBitsOfTheCpuInBatchesOfEveryKind) {
  std::mt19937 random(1);
  for (unsigned seed = 0; seed < 2000; seed += 50) {
    Segments owned;
    for (unsigned k = 0; k < 50; ++k) owned.push_back(RandomSegment(seed + k));
    ASSERT_EQ(DifferencesIfOnDevice(owned, random), "") << "from seed " << seed;
  }
}

TEST_F(GpuOnDevice, TensorsMayBeginAtAnyElementInEveryFastVariant) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 20; ++trial) {
    Segments owned;
    for (const auto logits : {ElementType::kFloat32, ElementType::kFloat64,
                              ElementType::kBFloat16, ElementType::kFloat16}) {
      for (const auto targets : {ElementType::kFloat32, ElementType::kFloat64,
                                 ElementType::kBFloat16, ElementType::kFloat16,
                                 ElementType::kUint8, ElementType::kBit}) {
        const uint64_t count = 1 + random() % (3 * kBlockElements);
        owned.push_back(std::make_unique<OwnedSegment>(
            logits, std::vector<uint64_t>{count}));
        std::vector<double> values(count);
        for (double& x : values) x = 0.01 * static_cast<double>(random() % 999);
        owned.back()->SetLogits(values);
        for (double& t : values) t = random() % 2;
        owned.back()->SetTargets(targets, values);
      }
    }
    ASSERT_EQ(DifferencesIfOnDevice(owned, random), "") << "trial " << trial;
  }
}

}  // namespace
}  // namespace lossd::kernels::cuda
