// Shared by the tests that run kernels on a device. They skip, with a reason,
// if there is no device.
#ifndef LOSSD_TESTS_KERNELS_CUDA_GPU_FIXTURE_H_
#define LOSSD_TESTS_KERNELS_CUDA_GPU_FIXTURE_H_

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/batch_layout.h"
#include "kernels/cuda/launcher.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels::cuda {

using Segments = std::vector<std::unique_ptr<OwnedSegment>>;

struct FreeDevice {
  void operator()(std::byte* address) const { cudaFree(address); }
};
using DeviceBytes = std::unique_ptr<std::byte, FreeDevice>;

inline DeviceBytes Allocate(uint64_t bytes) {
  void* address = nullptr;
  EXPECT_EQ(cudaMalloc(&address, bytes + 1), cudaSuccess);
  return DeviceBytes(static_cast<std::byte*>(address));
}

// Returns the output of a batch that the current device computed.
inline std::vector<std::byte> ComputeOnDevice(const BatchLayout& layout) {
  std::vector<std::byte> input(layout.input_bytes());
  std::vector<std::byte> output(layout.output_bytes());
  const DeviceBytes device_input = Allocate(input.size());
  const DeviceBytes device_output = Allocate(output.size());
  const PackedBatch batch = layout.At(device_input.get(), device_output.get());
  layout.Stage(batch, input.data());
  EXPECT_EQ(cudaMemcpy(device_input.get(), input.data(), input.size(),
                       cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(cudaMemset(device_output.get(), 0xa5, output.size()), cudaSuccess);
  Launcher launcher;
  EXPECT_EQ(launcher.Load(), cudaSuccess);
  EXPECT_EQ(launcher.Launch(batch, nullptr), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(output.data(), device_output.get(), output.size(),
                       cudaMemcpyDeviceToHost),
            cudaSuccess);
  return output;
}

class GpuKernels : public testing::Test {
 protected:
  void SetUp() override {
    const DeviceCount devices = CountDevices();
    if (devices.count == 0) {
      GTEST_SKIP() << "no CUDA device: " << devices.why_none;
    }
  }

  // Returns how the device's results differ from the CPU's; "" if no bit does.
  static std::string Differences(const Segments& owned) {
    std::vector<BatchItem> items;
    std::vector<SegmentAnswer> expected;
    for (const auto& one : owned) {
      expected.push_back(one->Compute(cpu::BestInstructionSet()));
      items.push_back(
          {&one->segment,
           GradientScale(one->segment, expected.back().normalizer)});
    }
    const BatchLayout layout(items);
    const std::vector<std::byte> output = ComputeOnDevice(layout);
    std::string differences;
    for (size_t k = 0; k < items.size(); ++k) {
      owned[k]->ForgetResults();
      const auto partials = layout.Partials(k, output.data());
      layout.CopyResults(k, output.data());
      const std::string one =
          Difference(owned[k]->AnswerFrom({partials.begin(), partials.end()},
                                          expected[k].normalizer),
                     expected[k]);
      if (!one.empty()) {
        differences += "segment " + std::to_string(k) + ": " + one + "; ";
      }
    }
    return differences;
  }
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_TESTS_KERNELS_CUDA_GPU_FIXTURE_H_
