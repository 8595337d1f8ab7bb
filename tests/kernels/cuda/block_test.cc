// The CUDA kernel's code, run on the host, against the CPU backend: bit for
// bit, whole batches of segments of every kind.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/cuda/batch_layout.h"
#include "tests/kernels/cuda/host_warp.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels::cuda {
namespace {

struct Free {
  void operator()(std::byte* data) const { std::free(data); }
};
using Memory = std::unique_ptr<std::byte, Free>;

Memory Allocate(uint64_t bytes) {
  const uint64_t rounded = (bytes / kTensorAlignment + 1) * kTensorAlignment;
  return Memory(
      static_cast<std::byte*>(std::aligned_alloc(kTensorAlignment, rounded)));
}

TEST(CudaBlocks, GiveTheBitsOfTheCpuForBatchesOfEveryKind) {
  for (unsigned seed = 0; seed < 600; seed += 8) {
    std::vector<std::unique_ptr<OwnedSegment>> owned;
    std::vector<BatchItem> items;
    std::vector<SegmentAnswer> expected;
    for (unsigned k = 0; k < 8; ++k) {
      owned.push_back(RandomSegment(seed + k));
      expected.push_back(owned.back()->Compute(cpu::BestInstructionSet()));
      Segment& segment = owned.back()->segment;
      items.push_back(
          {&segment, GradientScale(segment, expected.back().normalizer)});
    }
    const BatchLayout layout(items);
    const Memory input = Allocate(layout.input_bytes());
    const Memory output = Allocate(layout.output_bytes());
    layout.Stage(input.get());
    ComputeOnHost(layout.At(input.get(), output.get()));
    for (size_t k = 0; k < items.size(); ++k) {
      const auto partials = layout.Partials(k, output.get());
      layout.CopyResults(k, output.get());
      const SegmentAnswer answer = owned[k]->AnswerFrom(
          {partials.begin(), partials.end()}, expected[k].normalizer);
      ASSERT_EQ(Difference(answer, expected[k]), "") << "seed " << seed + k;
    }
  }
}

TEST(CudaBlocks, AnEmptyBatchHasNoBlocks) {
  const BatchLayout layout({});
  EXPECT_EQ(layout.At(nullptr, nullptr).block_count, 0u);
  EXPECT_EQ(layout.output_bytes(), 0u);
}

}  // namespace
}  // namespace lossd::kernels::cuda
