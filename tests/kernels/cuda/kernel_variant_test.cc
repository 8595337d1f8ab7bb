// Which path segments take, and that the blocks of a path are neighbours.
#include "kernels/cuda/kernel_variant.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/batch_layout.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels::cuda {
namespace {

constexpr ElementType kFloat32 = ElementType::kFloat32;
constexpr ElementType kFloat64 = ElementType::kFloat64;
constexpr ElementType kBFloat16 = ElementType::kBFloat16;
constexpr ElementType kFloat16 = ElementType::kFloat16;
constexpr ElementType kBit = ElementType::kBit;

std::unique_ptr<OwnedSegment> PlainSegment(ElementType logits,
                                           ElementType targets,
                                           uint64_t count = 3) {
  auto owned =
      std::make_unique<OwnedSegment>(logits, std::vector<uint64_t>{count});
  owned->SetLogits(std::vector<double>(count, 0.5));
  owned->SetTargets(targets, std::vector<double>(count, 1));
  return owned;
}

TEST(Path, IsThatOfTheTypesWhereNothingElseIsAsked) {
  const auto path = [](ElementType logits, ElementType targets) {
    return PathOf(PlainSegment(logits, targets)->segment, 1);
  };
  EXPECT_EQ(path(kFloat32, kFloat32), Path::kFloat32);
  EXPECT_EQ(path(kFloat32, ElementType::kUint8), Path::kFloat32Bytes);
  EXPECT_EQ(path(kFloat32, ElementType::kBool), Path::kFloat32Bytes);
  EXPECT_EQ(path(kFloat32, kBit), Path::kFloat32Bits);
  EXPECT_EQ(path(kFloat32, kBFloat16), Path::kGeneral);
  EXPECT_EQ(path(kBFloat16, kBFloat16), Path::kBFloat16);
  EXPECT_EQ(path(kBFloat16, kFloat32), Path::kBFloat16Float32);
  EXPECT_EQ(path(kBFloat16, ElementType::kUint8), Path::kBFloat16Bytes);
  EXPECT_EQ(path(kBFloat16, kBit), Path::kBFloat16Bits);
  EXPECT_EQ(path(kBFloat16, kFloat16), Path::kGeneral);
  EXPECT_EQ(path(kFloat16, kFloat16), Path::kFloat16);
  EXPECT_EQ(path(kFloat16, kFloat32), Path::kFloat16Float32);
  EXPECT_EQ(path(kFloat16, ElementType::kBool), Path::kFloat16Bytes);
  EXPECT_EQ(path(kFloat16, kBit), Path::kFloat16Bits);
  EXPECT_EQ(path(kFloat64, kFloat64), Path::kFloat64);
  EXPECT_EQ(path(kFloat64, kBit), Path::kGeneralFloat64);
}

// Each is one way of asking for more than a plain path gives.
TEST(Path, IsTheGeneralOneForEveryOption) {
  using Change = void (*)(OwnedSegment&);
  const Change changes[] = {
      [](OwnedSegment& o) { o.SetOnes({1}); },
      [](OwnedSegment& o) { o.SetWeights({2}, {0}); },
      [](OwnedSegment& o) { o.SetPosWeight({2}, {0}); },
      [](OwnedSegment& o) { o.SetUpstream({2}, {0}); },
      [](OwnedSegment& o) { o.WantLosses(); },
      [](OwnedSegment& o) { o.SetGradientType(kFloat64); },
      [](OwnedSegment& o) { o.segment.options.ignore_target = 2; },
      [](OwnedSegment& o) { o.segment.options.label_smoothing = 0.1; },
      [](OwnedSegment& o) {
        o.segment.options.targets_in_unit_interval = false;
      },
  };
  for (const Change change : changes) {
    const auto owned = PlainSegment(kFloat32, kFloat32);
    change(*owned);
    EXPECT_EQ(PathOf(owned->segment, 1), Path::kGeneral)
        << "change " << &change - changes;
  }
  const auto owned = PlainSegment(kFloat32, kFloat32);
  EXPECT_EQ(PathOf(owned->segment, std::numeric_limits<double>::max()),
            Path::kGeneral);
  owned->segment.options.kind = LossKind::kSigmoidFocal;
  EXPECT_EQ(PathOf(owned->segment, 1), Path::kGeneralPowers);
}

TEST(BatchLayout, GathersTheBlocksOfEachPath) {
  std::vector<std::unique_ptr<OwnedSegment>> owned;
  owned.push_back(PlainSegment(kBFloat16, kBit, kBlockElements + 1));
  owned.push_back(PlainSegment(kFloat32, kFloat32, 3 * kBlockElements));
  owned.push_back(PlainSegment(kBFloat16, kBit, 5));
  owned.push_back(PlainSegment(kFloat32, kFloat32, 0));
  owned.push_back(PlainSegment(kFloat32, kFloat32, 1));
  std::vector<BatchItem> items;
  for (const auto& one : owned) items.push_back({&one->segment, 1});
  const BatchLayout layout(items);
  std::vector<std::byte> input(layout.input_bytes());
  std::vector<std::byte> output(layout.output_bytes());
  const PackedBatch batch = layout.At(input.data(), output.data());
  layout.Stage(batch, input.data());
  EXPECT_EQ(batch.block_count, 7u);
  const auto range = [&](Path path) {
    const BlockRange& found = batch.paths[static_cast<size_t>(path)];
    return std::pair(found.first, found.count);
  };
  EXPECT_EQ(range(Path::kFloat32), std::pair(uint64_t{0}, uint64_t{4}));
  EXPECT_EQ(range(Path::kBFloat16Bits), std::pair(uint64_t{4}, uint64_t{3}));
  EXPECT_EQ(range(Path::kGeneral).second, 0u);
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
