// Tests that the blocks of a variant are neighbours.
#include "kernels/cuda/batch_layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels::cuda {
namespace {

constexpr ElementType kFloat32 = ElementType::kFloat32;
constexpr ElementType kBFloat16 = ElementType::kBFloat16;
constexpr ElementType kBit = ElementType::kBit;

std::unique_ptr<OwnedSegment> SegmentWithoutOptions(ElementType logits,
                                                    ElementType targets,
                                                    uint64_t count) {
  auto owned =
      std::make_unique<OwnedSegment>(logits, std::vector<uint64_t>{count});
  owned->SetLogits(std::vector<double>(count, 0.5));
  owned->SetTargets(targets, std::vector<double>(count, 1));
  return owned;
}

TEST(BatchLayout, GathersTheBlocksOfEachVariant) {
  std::vector<std::unique_ptr<OwnedSegment>> owned;
  owned.push_back(SegmentWithoutOptions(kBFloat16, kBit, kBlockElements + 1));
  owned.push_back(
      SegmentWithoutOptions(kFloat32, kFloat32, 3 * kBlockElements));
  owned.push_back(SegmentWithoutOptions(kBFloat16, kBit, 5));
  owned.push_back(SegmentWithoutOptions(kFloat32, kFloat32, 0));
  owned.push_back(SegmentWithoutOptions(kFloat32, kFloat32, 1));
  std::vector<BatchItem> items;
  for (const auto& one : owned) items.push_back({&one->segment, 1});
  const BatchLayout layout(items);
  std::vector<std::byte> input(layout.input_bytes());
  std::vector<std::byte> output(layout.output_bytes());
  const PackedBatch batch = layout.At(input.data(), output.data());
  layout.Stage(batch, input.data());
  EXPECT_EQ(batch.block_count, 7u);
  const auto range = [&](KernelVariant variant) {
    const BlockRange& found =
        batch.variant_blocks[static_cast<size_t>(variant)];
    return std::pair(found.first, found.count);
  };
  EXPECT_EQ(range(KernelVariant::kFloat32),
            std::pair(uint64_t{0}, uint64_t{4}));
  EXPECT_EQ(range(KernelVariant::kBFloat16Bits),
            std::pair(uint64_t{4}, uint64_t{3}));
  EXPECT_EQ(range(KernelVariant::kExact).second, 0u);
  std::vector<uint32_t> table(batch.block_count);
  std::memcpy(table.data(), input.data() + batch.block_segments,
              table.size() * sizeof(uint32_t));
  EXPECT_EQ(table, (std::vector<uint32_t>{1, 1, 1, 4, 0, 0, 2}));
  const auto* partials = reinterpret_cast<const BlockPartial*>(output.data());
  EXPECT_EQ(layout.Partials(4, output.data()).data(), partials + 3);
  EXPECT_EQ(layout.Partials(2, output.data()).data(), partials + 6);
}

}  // namespace
}  // namespace lossd::kernels::cuda
