// Compares the kernels on a device with the CPU backend, bit for bit. Only a
// device shows shuffles, votes, vector accesses, the table in shared memory and
// the machine's own conversions. Skips, with a reason, if there is no device.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "kernels/cuda/tuning.h"
#include "tests/kernels/cuda/gpu_fixture.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels::cuda {
namespace {

constexpr ElementType kLogits[] = {
    ElementType::kFloat32,      ElementType::kFloat64,
    ElementType::kBFloat16,     ElementType::kFloat16,
    ElementType::kFloat8E4M3Fn, ElementType::kFloat8E5M2};
constexpr ElementType kTargets[] = {
    ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16,
    ElementType::kFloat16, ElementType::kUint8,   ElementType::kBit};

// Returns a segment for a fast variant. If `odd`, one logit is infinite or NaN.
std::unique_ptr<OwnedSegment> SegmentWithoutOptions(ElementType logits,
                                                    ElementType targets,
                                                    uint64_t count, bool odd,
                                                    std::mt19937& random) {
  auto owned =
      std::make_unique<OwnedSegment>(logits, std::vector<uint64_t>{count});
  std::vector<double> values(count);
  std::normal_distribution<double> normal(0, random() % 2 == 0 ? 1 : 30);
  for (double& x : values) x = normal(random);
  if (odd) values[random() % count] = random() % 2 == 0 ? HUGE_VAL : NAN;
  owned->SetLogits(values);
  for (double& t : values) t = random() % 2;
  owned->SetTargets(targets, values);
  return owned;
}

TEST_F(GpuKernels, GiveTheBitsOfTheCpuForBatchesOfEveryKind) {
  for (unsigned seed = 0; seed < 3000; seed += 50) {
    Segments owned;
    for (unsigned k = 0; k < 50; ++k) owned.push_back(RandomSegment(seed + k));
    ASSERT_EQ(Differences(owned), "") << "from seed " << seed;
  }
}

TEST_F(GpuKernels, GiveTheBitsOfTheCpuInEveryFastVariant) {
  constexpr uint64_t kSizes[] = {1,   7,   8,   64,   127,  128,
                                 129, 256, 300, 2047, 2048, 5000};
  std::mt19937 random(1);
  for (const uint64_t count : kSizes) {
    Segments owned;
    for (const ElementType logits : kLogits) {
      for (const ElementType targets : kTargets) {
        for (const bool odd : {false, true}) {
          owned.push_back(
              SegmentWithoutOptions(logits, targets, count, odd, random));
        }
      }
    }
    ASSERT_EQ(Differences(owned), "") << count << " elements";
  }
}

// With more than 2,048 blocks the table is used. Some blocks hold an element
// that it does not have, and the last one is short.
TEST_F(GpuKernels, GiveTheBitsOfTheCpuWhereThereIsMuchToLookUp) {
  std::mt19937 random(2);
  for (const ElementType targets : {ElementType::kBit, ElementType::kUint8}) {
    Segments owned;
    owned.push_back(SegmentWithoutOptions(ElementType::kBFloat16, targets,
                                          2100 * kBlockElements + 77, true,
                                          random));
    for (unsigned k = 0; k < 100; ++k) {
      owned.push_back(SegmentWithoutOptions(ElementType::kBFloat16, targets,
                                            1 + random() % 5000, k % 5 == 0,
                                            random));
    }
    ASSERT_EQ(Differences(owned), "") << Name(targets);
  }
}

// So many blocks of float32 are computed by the fast kernel, and fewer by the
// prefetching one.
TEST_F(GpuKernels, GiveTheBitsOfTheCpuOnBothSidesOfAThreshold) {
  std::mt19937 random(3);
  for (const uint64_t blocks :
       {kPrefetchMostFewBlocks - 1, kPrefetchMostFewBlocks}) {
    Segments owned;
    owned.push_back(
        SegmentWithoutOptions(ElementType::kFloat32, ElementType::kFloat32,
                              blocks * kBlockElements + 77, true, random));
    ASSERT_EQ(Differences(owned), "") << blocks;
  }
}

TEST_F(GpuKernels, GiveTheBitsOfTheCpuForEveryHalfLogit) {
  for (const ElementType type :
       {ElementType::kBFloat16, ElementType::kFloat16}) {
    for (const double target : {0, 1}) {
      Segments owned;
      owned.push_back(std::make_unique<OwnedSegment>(
          type, std::vector<uint64_t>{1u << 16}));
      std::vector<uint16_t> logits(1u << 16);
      std::iota(logits.begin(), logits.end(), uint16_t{0});
      const Piece piece = std::as_bytes(std::span(logits));
      owned.back()->segment.logits.pieces = {&piece, 1};
      owned.back()->SetTargets(ElementType::kBit,
                               std::vector<double>(1u << 16, target));
      ASSERT_EQ(Differences(owned), "") << Name(type) << ", " << target;
    }
  }
}

// Every logit is below 128, so that every block is looked up. One scale makes
// the gradients round, the other does not.
TEST_F(GpuKernels, GiveTheBitsOfTheCpuForEveryEntryOfTheTable) {
  constexpr uint64_t kElements = 2050 * kBlockElements;
  constexpr uint64_t kMagnitudes = 0x4300;
  std::vector<uint16_t> logits(kElements);
  std::vector<double> targets(kElements);
  for (uint64_t i = 0; i < kElements; ++i) {
    const uint64_t sign = i / kMagnitudes % 2 << 15;
    logits[i] = static_cast<uint16_t>(i % kMagnitudes | sign);
    targets[i] = static_cast<double>(i / kMagnitudes / 2 % 2);
  }
  const Piece piece = std::as_bytes(std::span(logits));
  for (const ElementType type : {ElementType::kBit, ElementType::kUint8}) {
    for (const Reduction reduction : {Reduction::kMean, Reduction::kSum}) {
      Segments owned;
      owned.push_back(std::make_unique<OwnedSegment>(
          ElementType::kBFloat16, std::vector<uint64_t>{kElements}));
      owned.back()->segment.logits.pieces = {&piece, 1};
      owned.back()->SetTargets(type, targets);
      owned.back()->segment.options.reduction = reduction;
      ASSERT_EQ(Differences(owned), "") << Name(type);
    }
  }
}

TEST_F(GpuKernels, GiveTheBitsOfTheCpuForThousandsOfSmallSegments) {
  std::mt19937 random(3);
  Segments owned;
  for (unsigned k = 0; k < 4096; ++k) {
    owned.push_back(SegmentWithoutOptions(
        ElementType::kFloat32, ElementType::kFloat32, 64, false, random));
  }
  EXPECT_EQ(Differences(owned), "");
}

// Each segment is computed alone and at random places among the others.
TEST_F(GpuKernels, TheBitsDoNotDependOnTheRestOfTheBatch) {
  constexpr unsigned kSegments = 64;
  Segments together;
  for (unsigned k = 0; k < kSegments; ++k) {
    together.push_back(RandomSegment(k));
    Segments alone;
    alone.push_back(RandomSegment(k));
    ASSERT_EQ(Differences(alone), "") << "seed " << k << " alone";
  }
  std::mt19937 random(4);
  for (int turn = 0; turn < 10; ++turn) {
    std::shuffle(together.begin(), together.end(), random);
    ASSERT_EQ(Differences(together), "") << "turn " << turn;
  }
}

TEST_F(GpuKernels, TheSameBatchHasTheSameBitsEveryTime) {
  const auto owned = RandomSegment(5);
  std::mt19937 random(5);
  const auto large =
      SegmentWithoutOptions(ElementType::kFloat32, ElementType::kFloat32,
                            300 * kBlockElements + 5, false, random);
  const BatchItem items[] = {{&owned->segment, 1}, {&large->segment, 1}};
  const BatchLayout layout(items);
  const std::vector<std::byte> first = ComputeOnDevice(layout);
  for (int turn = 0; turn < 50; ++turn) {
    const std::vector<std::byte> again = ComputeOnDevice(layout);
    for (size_t k = 0; k < std::size(items); ++k) {
      const auto a = layout.Partials(k, first.data());
      const auto b = layout.Partials(k, again.data());
      for (size_t block = 0; block < a.size(); ++block) {
        ASSERT_EQ(std::bit_cast<uint64_t>(a[block].loss_sum),
                  std::bit_cast<uint64_t>(b[block].loss_sum))
            << "turn " << turn << ", block " << block;
      }
    }
    const PackedSegment& packed = layout.packed(1);
    const uint64_t bytes = large->segment.element_count * sizeof(float);
    const auto gradient = [&](const std::vector<std::byte>& output) {
      return std::span(output).subspan(packed.gradient, bytes);
    };
    const auto a = gradient(first);
    const auto b = gradient(again);
    ASSERT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << turn;
  }
}

}  // namespace
}  // namespace lossd::kernels::cuda
