// Tests that the blocks of a variant are neighbours.
#include "kernels/cuda/batch_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "tests/kernels/cuda/host_warp.h"
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

// Blocks 2 to 10 of pinned tensors, of which the device copies those of at
// least kLeastDirectBytes. The host plays the device.
TEST(BatchLayout, LeavesPinnedTensorsToTheDevicesCopies) {
  constexpr uint64_t kCount = 11 * kBlockElements - 3;
  const auto owned = SegmentWithoutOptions(kFloat32, kBit, kCount);
  Segment& segment = owned->segment;
  const SegmentAnswer expected = owned->Compute(cpu::BestInstructionSet());
  owned->ForgetResults();
  std::vector<std::byte> logits(ByteSize(kFloat32, kCount));
  std::byte* end = logits.data();
  for (const Piece& piece : segment.logits.pieces) {
    end = std::copy(piece.begin(), piece.end(), end);
  }
  const Piece piece(logits);
  segment.logits.pieces = {&piece, 1};
  segment.logits.pinned = segment.targets.pinned = true;
  segment.gradient_pinned = true;
  const double scale = GradientScale(segment, expected.normalizer);
  const BatchItem items[] = {{&segment, scale, {0, 2}},
                             {&segment, scale, {2, 9}}};
  const BatchLayout layout(items);

  // The bits are too few, and so is the first item.
  ASSERT_EQ(layout.copies_in().size(), 1u);
  ASSERT_EQ(layout.copies_out().size(), 1u);
  const DirectCopy in = layout.copies_in()[0];
  const DirectCopy out = layout.copies_out()[0];
  constexpr uint64_t kFirst = 2 * kBlockElements * sizeof(float);
  EXPECT_EQ(in.host, logits.data() + kFirst);
  EXPECT_EQ(out.host, segment.gradient + kFirst);
  EXPECT_EQ(in.bytes, logits.size() - kFirst);
  EXPECT_EQ(out.bytes, in.bytes);
  EXPECT_EQ(in.place % kTensorAlignment, 0u);
  EXPECT_GE(in.place, layout.staged_input_bytes());
  EXPECT_GE(out.place, layout.staged_output_bytes());
  EXPECT_EQ(in.place + in.bytes, layout.input_bytes());
  EXPECT_EQ(out.place + out.bytes, layout.output_bytes());

  struct alignas(kTensorAlignment) Aligned {
    std::byte bytes[kTensorAlignment];
  };
  const uint64_t bytes = layout.input_bytes() + layout.output_bytes();
  std::vector<Aligned> memory(bytes / sizeof(Aligned) + 2);
  std::byte* const input = memory[0].bytes;
  auto* const output = input + TensorPlace(layout.input_bytes());
  const PackedBatch batch = layout.At(input, output);
  layout.Stage(batch, input);
  std::copy_n(in.host, in.bytes, input + in.place);
  ComputeOnHost(batch);
  std::copy_n(output + out.place, out.bytes, out.host);
  std::vector<BlockPartial> partials;
  for (const size_t k : {0, 1}) {
    layout.CopyResults(k, output);
    const auto some = layout.Partials(k, output);
    partials.insert(partials.end(), some.begin(), some.end());
  }
  EXPECT_EQ(
      Difference(owned->AnswerFrom(partials, expected.normalizer), expected),
      "");
}

}  // namespace
}  // namespace lossd::kernels::cuda
