// The CUDA kernel's code, run on the host, against the CPU backend: bit for
// bit, whole batches of segments of every kind.
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
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

using Segments = std::vector<std::unique_ptr<OwnedSegment>>;

// Computes all of `owned` as one batch, as a device would, and holds each
// against the CPU.
void ExpectTheBitsOfTheCpu(const Segments& owned) {
  std::vector<BatchItem> items;
  std::vector<SegmentAnswer> expected;
  for (const auto& one : owned) {
    expected.push_back(one->Compute(cpu::BestInstructionSet()));
    items.push_back({&one->segment,
                     GradientScale(one->segment, expected.back().normalizer)});
  }
  const BatchLayout layout(items);
  const Memory input = Allocate(layout.input_bytes());
  const Memory output = Allocate(layout.output_bytes());
  layout.Stage(input.get());
  ComputeOnHost(layout.At(input.get(), output.get()));
  for (size_t k = 0; k < items.size(); ++k) {
    owned[k]->ForgetResults();
    const auto partials = layout.Partials(k, output.get());
    layout.CopyResults(k, output.get());
    const SegmentAnswer answer = owned[k]->AnswerFrom(
        {partials.begin(), partials.end()}, expected[k].normalizer);
    EXPECT_EQ(Difference(answer, expected[k]), "") << "segment " << k;
  }
}

TEST(CudaBlocks, GiveTheBitsOfTheCpuForBatchesOfEveryKind) {
  for (unsigned seed = 0; seed < 600; seed += 8) {
    SCOPED_TRACE(testing::Message() << "from seed " << seed);
    Segments owned;
    for (unsigned k = 0; k < 8; ++k) owned.push_back(RandomSegment(seed + k));
    ExpectTheBitsOfTheCpu(owned);
    if (testing::Test::HasFailure()) break;
  }
}

// A float32 target of 2^60 + 2^36 + 1 is not its float64 rounded again.
TEST(CudaBlocks, RoundAnInt64TargetOnceAndCompareItWhole) {
  const int64_t targets[] = {(int64_t{1} << 60) + (int64_t{1} << 36) + 1,
                             (int64_t{1} << 53) + 1, int64_t{1} << 53,
                             std::numeric_limits<int64_t>::max(), 0};
  const Piece piece = std::as_bytes(std::span(targets));
  for (const double ignored : {0x1p53, 0x1p63, 0.5}) {
    Segments owned;
    for (const ElementType type :
         {ElementType::kFloat32, ElementType::kFloat64}) {
      owned.push_back(
          std::make_unique<OwnedSegment>(type, std::vector<uint64_t>{5}));
      owned.back()->SetLogits({1, -2, 3, -4, 5});
      owned.back()->segment.targets = {ElementType::kInt64, {&piece, 1}};
      owned.back()->segment.options.targets_in_unit_interval = false;
      owned.back()->segment.options.ignore_target = ignored;
    }
    ExpectTheBitsOfTheCpu(owned);
  }
}

TEST(CudaBlocks, FindTheOnesOfManyBlocks) {
  constexpr uint64_t kCount = 40 * kBlockElements + 1;
  Segments owned;
  for (const uint64_t density : {1, 3, 4, 64, 1000}) {
    owned.push_back(std::make_unique<OwnedSegment>(
        ElementType::kBFloat16, std::vector<uint64_t>{kCount}));
    owned.back()->SetLogits(std::vector<double>(kCount, 0.75));
    std::vector<uint64_t> ones;
    // The second half has none.
    for (uint64_t i = 0; i < kCount / 2; i += density) ones.push_back(i);
    owned.back()->SetOnes(ones);
    owned.push_back(std::make_unique<OwnedSegment>(
        ElementType::kFloat16, std::vector<uint64_t>{kCount}));
    owned.back()->SetLogits(std::vector<double>(kCount, 0.75));
    owned.back()->SetOnes(8, density, 40 * kBlockElements / density - 8);
  }
  ExpectTheBitsOfTheCpu(owned);
}

TEST(CudaBlocks, AnEmptyBatchHasNoBlocks) {
  const BatchLayout layout({});
  EXPECT_EQ(layout.At(nullptr, nullptr).block_count, 0u);
  EXPECT_EQ(layout.output_bytes(), 0u);
}

}  // namespace
}  // namespace lossd::kernels::cuda
