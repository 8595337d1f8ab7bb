// The same segment gives the same bits: on every instruction set, in any cut of
// its bytes, in any partition of its blocks.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

constexpr unsigned kSegments = 600;

TEST(Invariance, EveryInstructionSetGivesTheSameBits) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const SegmentAnswer best = owned->Compute(cpu::InstructionSets().front());
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      ASSERT_EQ(Difference(best, owned->Compute(set)), "")
          << set.name << ", seed " << seed;
    }
  }
}

TEST(Invariance, ThePartitionIntoCallsChangesNoBit) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const SegmentAnswer whole = owned->Compute(cpu::BestInstructionSet());
    for (const uint64_t step : {1, 2, 3}) {
      ASSERT_EQ(
          Difference(whole, owned->Compute(cpu::BestInstructionSet(), step)),
          "")
          << step << " blocks a call, seed " << seed;
    }
  }
}

TEST(Invariance, TheCutsBetweenPiecesChangeNoBit) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const SegmentAnswer before = owned->Compute(cpu::BestInstructionSet());
    std::mt19937 random(seed);
    for (int trial = 0; trial < 4; ++trial) {
      owned->CutPieces(random);
      ASSERT_EQ(Difference(before, owned->Compute(cpu::BestInstructionSet())),
                "")
          << "seed " << seed;
    }
  }
}

TEST(Invariance, CountingAloneCountsWhatComputingCounts) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    std::vector<BlockPartial> partials(BlockCount(owned->segment));
    cpu::CountBlocks(owned->segment, 0, partials);
    const Totals counted = Combine(partials);
    const Totals computed = owned->Compute(cpu::BestInstructionSet()).totals;
    ASSERT_EQ(counted.valid_count, computed.valid_count) << "seed " << seed;
    ASSERT_EQ(counted.nonzero_weight_count, computed.nonzero_weight_count)
        << "seed " << seed;
    ASSERT_EQ(counted.weight_sum, computed.weight_sum) << "seed " << seed;
  }
}

// A generator that forgot a kind would make the tests above say less than they
// seem to.
TEST(Invariance, TheRandomSegmentsAreOfEveryKind) {
  int kinds[9] = {};
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const Segment& s = owned->segment;
    const Totals totals = owned->Compute(cpu::BestInstructionSet()).totals;
    kinds[0] += s.logits.type == ElementType::kFloat64;
    kinds[1] += s.weights.present();
    kinds[2] += s.pos_weight.present() && s.upstream.present();
    kinds[3] += s.losses != nullptr;
    kinds[4] += totals.nan_count > 0;
    kinds[5] += totals.first_bad_target != kNoIndex;
    kinds[6] += s.logits.pieces.size() > 3;
    kinds[7] += s.element_count > 2 * kBlockElements;
    kinds[8] += s.gradient == nullptr;
  }
  for (const int count : kinds) EXPECT_GE(count, 10);
}

}  // namespace
}  // namespace lossd::kernels
