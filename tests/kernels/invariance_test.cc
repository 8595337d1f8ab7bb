// A segment gives the same bits on every instruction set, in any cut of its
// bytes and in any partition of its blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/random_segment.h"

namespace lossd::kernels {
namespace {

constexpr unsigned kSegments = 700;

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

// Computes disjoint blocks of one segment on several threads at the same time.
TEST(Invariance, TheNumberOfThreadsChangesNoBit) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const uint64_t blocks = BlockCount(owned->segment);
    if (blocks < 2) continue;
    const SegmentAnswer alone = owned->Compute(cpu::BestInstructionSet());
    for (uint64_t threads = 1; threads <= std::min<uint64_t>(blocks, 4);
         ++threads) {
      ASSERT_EQ(Difference(alone, owned->ComputeOnThreads(
                                      cpu::BestInstructionSet(), threads)),
                "")
          << threads << " threads, seed " << seed;
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
    if (computed.first_operand_fault != kNoIndex) continue;
    ASSERT_EQ(counted.valid_count, computed.valid_count) << "seed " << seed;
    ASSERT_EQ(counted.nonzero_weight_count, computed.nonzero_weight_count)
        << "seed " << seed;
    ASSERT_EQ(counted.weight_sum, computed.weight_sum) << "seed " << seed;
  }
}

// The order of the sum is part of the contract: element i goes to lane i % 128,
// lanes are added as a tree, blocks in order.
TEST(Invariance, TheLossIsTheSumOfTheLossesInTheDocumentedOrder) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    // Losses of a half type would be rounded, so they are not the summands.
    owned->segment.options.loss_weight = 1;
    owned->WantLosses(ElementType::kFloat64);
    const Totals totals = owned->Compute(cpu::BestInstructionSet()).totals;
    if (totals.first_bad_target != kNoIndex ||
        totals.first_operand_fault != kNoIndex) {
      continue;
    }
    const std::vector<double> losses = owned->losses();
    std::vector<BlockPartial> partials;
    for (size_t first = 0; first < losses.size(); first += 2048) {
      double lanes[128] = {};
      for (size_t i = first; i < std::min(first + 2048, losses.size()); ++i) {
        lanes[(i - first) % 128] += losses[i];
      }
      for (size_t distance = 64; distance > 0; distance /= 2) {
        for (size_t k = 0; k < distance; ++k) lanes[k] += lanes[k + distance];
      }
      partials.emplace_back().loss_sum = lanes[0];
    }
    const double expected = Combine(partials).loss_sum;
    ASSERT_EQ(std::bit_cast<uint64_t>(totals.loss_sum),
              std::bit_cast<uint64_t>(expected))
        << "seed " << seed;
  }
}

// Options that change nothing take the exact loop. Its bits must be the fast
// loop's.
TEST(Invariance, TheFastLoopGivesTheBitsOfTheExactOne) {
  int fast = 0;
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    Segment& s = owned->segment;
    if (s.weights.present() || s.pos_weight.present() || s.losses != nullptr ||
        s.options.ignore_target || s.options.label_smoothing != 0 ||
        !s.options.targets_in_unit_interval) {
      continue;
    }
    fast += s.gradient_type == s.logits.type && s.targets.present();
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      const SegmentAnswer before = owned->Compute(set);
      s.options.ignore_target = 0.123456789;
      ASSERT_EQ(Difference(before, owned->Compute(set)), "")
          << set.name << ", seed " << seed;
      s.options.ignore_target.reset();
    }
  }
  EXPECT_GT(fast, 50);
}

// This test fails if the generator stops producing a kind that the tests above
// rely on.
TEST(Invariance, TheRandomSegmentsAreOfEveryKind) {
  std::map<std::string, int> kinds;
  for (const ElementType type : kElementTypes) {
    const std::string name(Name(type));
    const bool is_float = type <= ElementType::kFloat16;
    if (is_float) kinds["logits " + name] = kinds["gradient " + name] = 0;
    if (type != ElementType::kBit) kinds["operand " + name] = 0;
    kinds["targets " + name] = 0;
  }
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const Segment& s = owned->segment;
    const Totals totals = owned->Compute(cpu::BestInstructionSet()).totals;
    ++kinds["logits " + std::string(Name(s.logits.type))];
    for (const Operand* operand : {&s.weights, &s.pos_weight, &s.upstream}) {
      if (!operand->present()) continue;
      ++kinds["operand " + std::string(Name(operand->tensor.type))];
    }
    if (s.targets.present()) {
      ++kinds["targets " + std::string(Name(s.targets.type))];
    }
    if (s.gradient != nullptr && s.gradient_type != s.logits.type) {
      ++kinds["gradient " + std::string(Name(s.gradient_type))];
    }
    const bool ones = !s.targets.present() && s.element_count > kBlockElements;
    kinds["listed ones over blocks"] += ones && !s.ones.indices.empty();
    kinds["stepped ones over blocks"] += ones && s.ones.count > 2;
    kinds["ignored ones"] += !s.targets.present() && s.options.ignore_target;
    kinds["weights"] += s.weights.present();
    kinds["positive weights and upstream"] +=
        s.pos_weight.present() && s.upstream.present();
    kinds["losses"] += s.losses != nullptr;
    kinds["losses of another type"] +=
        s.losses != nullptr && s.losses_type != s.logits.type;
    kinds["second derivative"] += s.second_derivative != nullptr;
    kinds["second derivative alone"] +=
        s.second_derivative != nullptr && s.gradient == nullptr;
    kinds["NaN logits"] += totals.nan_count > 0;
    kinds["bad targets"] += totals.first_bad_target != kNoIndex;
    kinds["operand faults"] += totals.first_operand_fault != kNoIndex;
    kinds["ignored NaN"] += s.options.ignore_target &&
                            std::isnan(*s.options.ignore_target) &&
                            totals.valid_count < s.element_count;
    kinds["pieces"] += s.logits.pieces.size() > 3;
    kinds["several blocks"] += s.element_count > 2 * kBlockElements;
    kinds["no gradient"] += s.gradient == nullptr;
    kinds["empty"] += s.element_count == 0;
    kinds["ignored out of range"] +=
        s.options.ignore_target == 2 && totals.valid_count < s.element_count;
    kinds[std::string(Name(s.options.kind))] += 1;
    kinds["focal"] +=
        s.options.kind == LossKind::kSigmoidFocal && s.options.focal_gamma != 0;
    kinds["mixed focal"] += s.options.kind == LossKind::kSigmoidFocal &&
                            s.options.mixes_soft_targets;
    kinds["mixed poly"] += s.options.kind == LossKind::kPoly &&
                           s.options.mixes_soft_targets &&
                           s.options.poly_epsilon != 0;
    kinds["detached"] += s.options.detaches_focus;
    kinds["prior"] += s.options.label_smoothing != 0 &&
                      s.options.label_smoothing_prior != 0.5;
    const bool asymmetric = s.options.kind == LossKind::kAsymmetric;
    kinds["asymmetric"] += asymmetric && s.options.asymmetric_margin == 0;
    kinds["margin"] += asymmetric && s.options.asymmetric_margin != 0;
  }
  for (const auto& [kind, count] : kinds) EXPECT_GE(count, 10) << kind;
}

}  // namespace
}  // namespace lossd::kernels
