// Compares the kernels' code, run on the host, with the CPU backend, bit for
// bit, in batches of segments of every kind.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
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

// A range of blocks of one of several segments.
struct Part {
  size_t segment;
  BlockRange blocks;
};

std::vector<Part> Whole(const Segments& owned) {
  std::vector<Part> parts;
  for (size_t k = 0; k < owned.size(); ++k) {
    parts.push_back({k, {0, BlockCount(owned[k]->segment)}});
  }
  return parts;
}

// Returns all blocks of all segments, cut and shuffled at random.
std::vector<Part> Divided(const Segments& owned, std::mt19937& random) {
  std::vector<Part> parts;
  for (const Part& whole : Whole(owned)) {
    const uint64_t all = whole.blocks.count;
    for (uint64_t first = 0; first < all;) {
      const uint64_t count = 1 + random() % (all - first);
      parts.push_back({whole.segment, {first, count}});
      first += count;
    }
  }
  std::shuffle(parts.begin(), parts.end(), random);
  return parts;
}

// Computes `parts` as one batch and compares each segment with the CPU.
void ExpectTheBitsOfTheCpu(const Segments& owned,
                           const std::vector<Part>& parts) {
  std::vector<SegmentAnswer> expected;
  for (const auto& one : owned) {
    expected.push_back(one->Compute(cpu::BestInstructionSet()));
  }
  std::vector<BatchItem> items;
  for (const Part& part : parts) {
    const Segment& segment = owned[part.segment]->segment;
    items.push_back({&segment,
                     GradientScale(segment, expected[part.segment].normalizer),
                     part.blocks});
  }
  const BatchLayout layout(items);
  const Memory input = Allocate(layout.input_bytes());
  const Memory output = Allocate(layout.output_bytes());
  const PackedBatch batch = layout.At(input.get(), output.get());
  layout.Stage(batch, input.get());
  for (const bool look_up : {false, true}) {
    SCOPED_TRACE(look_up ? "looked up" : "computed");
    std::memset(output.get(), 0xa5, layout.output_bytes());
    ComputeOnHost(batch, look_up);
    std::vector<std::vector<BlockPartial>> partials;
    for (const auto& one : owned) {
      one->ForgetResults();
      partials.emplace_back(BlockCount(one->segment));
    }
    for (size_t k = 0; k < parts.size(); ++k) {
      layout.CopyResults(k, output.get());
      std::ranges::copy(layout.Partials(k, output.get()),
                        partials[parts[k].segment].begin() +
                            static_cast<std::ptrdiff_t>(parts[k].blocks.first));
    }
    for (size_t k = 0; k < owned.size(); ++k) {
      const SegmentAnswer answer =
          owned[k]->AnswerFrom(partials[k], expected[k].normalizer);
      EXPECT_EQ(Difference(answer, expected[k]), "") << "segment " << k;
    }
  }
}

void ExpectTheBitsOfTheCpu(const Segments& owned) {
  ExpectTheBitsOfTheCpu(owned, Whole(owned));
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

TEST(CudaBlocks, GiveTheSameBitsHoweverARequestIsDivided) {
  std::mt19937 random(3);
  for (unsigned seed = 0; seed < 600; seed += 8) {
    SCOPED_TRACE(testing::Message() << "from seed " << seed);
    Segments owned;
    for (unsigned k = 0; k < 8; ++k) {
      owned.push_back(RandomSegment(seed + k));
      owned.back()->CutPieces(random);
    }
    ExpectTheBitsOfTheCpu(owned, Divided(owned, random));
    if (testing::Test::HasFailure()) break;
  }
}

constexpr ElementType kLogits[] = {
    ElementType::kFloat32,      ElementType::kFloat64,
    ElementType::kBFloat16,     ElementType::kFloat16,
    ElementType::kFloat8E4M3Fn, ElementType::kFloat8E5M2};
constexpr ElementType kTargets[] = {
    ElementType::kFloat32,      ElementType::kFloat64,   ElementType::kBFloat16,
    ElementType::kFloat16,      ElementType::kUint8,     ElementType::kBit,
    ElementType::kFloat8E4M3Fn, ElementType::kFloat8E5M2};

// Returns a segment without options. Its size is near that of a row, of a
// thread's part of a row, or of a block.
std::unique_ptr<OwnedSegment> SegmentWithoutOptions(ElementType logits,
                                                    ElementType targets,
                                                    std::mt19937& random) {
  constexpr uint64_t kSizes[] = {1,   7,   8,    64,   127,  128, 129,
                                 256, 300, 2047, 2048, 2049, 5000};
  const uint64_t count = kSizes[random() % std::size(kSizes)];
  auto owned =
      std::make_unique<OwnedSegment>(logits, std::vector<uint64_t>{count});
  std::vector<double> values(count);
  std::normal_distribution<double> normal(0, random() % 2 == 0 ? 1 : 30);
  for (double& x : values) x = normal(random);
  owned->SetLogits(values);
  for (double& t : values) t = random() % 2;
  owned->SetTargets(targets, values);
  if (random() % 8 == 0) owned->segment.gradient = nullptr;
  return owned;
}

TEST(CudaBlocks, GiveTheBitsOfTheCpuInEveryFastVariant) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 12; ++trial) {
    Segments owned;
    for (const ElementType logits : kLogits) {
      for (const ElementType targets : kTargets) {
        owned.push_back(SegmentWithoutOptions(logits, targets, random));
      }
    }
    ExpectTheBitsOfTheCpu(owned);
    ExpectTheBitsOfTheCpu(owned, Divided(owned, random));
  }
}

// One such element makes the exact rows compute the whole block again.
TEST(CudaBlocks, FindTheOneElementThatNeedsTheExactRows) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double logits[] = {kInfinity, -kInfinity, 200, -1000,
                           std::numeric_limits<double>::quiet_NaN()};
  for (const ElementType type : kLogits) {
    Segments owned;
    for (const ElementType targets : kTargets) {
      for (const double odd : logits) {
        for (const double target : {0, 1}) {
          owned.push_back(std::make_unique<OwnedSegment>(
              type, std::vector<uint64_t>{3 * kBlockElements}));
          std::vector<double> values(3 * kBlockElements, 0.5);
          values[kBlockElements + 777] = odd;
          owned.back()->SetLogits(values);
          owned.back()->SetTargets(
              targets, std::vector<double>(3 * kBlockElements, target));
        }
      }
      if (targets == ElementType::kBit) continue;
      owned.push_back(std::make_unique<OwnedSegment>(
          type, std::vector<uint64_t>{2 * kBlockElements}));
      std::vector<double> values(2 * kBlockElements, 1);
      owned.back()->SetLogits(values);
      values[kBlockElements + 3] = 2;
      values[kBlockElements + 2000] = 2;
      owned.back()->SetTargets(targets, values);
    }
    ExpectTheBitsOfTheCpu(owned);
  }
}

TEST(CudaBlocks, GiveTheBitsOfTheCpuForEveryBFloat16AndHardTarget) {
  for (const ElementType targets : {ElementType::kBit, ElementType::kUint8}) {
    for (const double target : {0, 1}) {
      Segments owned;
      owned.push_back(std::make_unique<OwnedSegment>(
          ElementType::kBFloat16, std::vector<uint64_t>{1u << 16}));
      std::vector<uint16_t> logits(1u << 16);
      std::iota(logits.begin(), logits.end(), uint16_t{0});
      const Piece piece = std::as_bytes(std::span(logits));
      owned.back()->segment.logits.pieces = {&piece, 1};
      owned.back()->SetTargets(targets, std::vector<double>(1u << 16, target));
      owned.back()->segment.upstream_scalar = 0x1p16;
      ExpectTheBitsOfTheCpu(owned);
    }
  }
}

// 2^60 + 2^36 + 1 rounded to float32 differs from its float64 rounded again.
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
    // The second half has no ones.
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
