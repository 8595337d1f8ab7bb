// Weights, positive weights and upstream gradients of other types than the
// logits': each is rounded to the logits' type once, before it is counted or
// multiplied.
#include <gtest/gtest.h>

#include <vector>

#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

using Setter = void (OwnedSegment::*)(const std::vector<double>&,
                                      const std::vector<uint64_t>&,
                                      ElementType);

constexpr Setter kSetters[] = {&OwnedSegment::SetWeights,
                               &OwnedSegment::SetPosWeight,
                               &OwnedSegment::SetUpstream};

SegmentAnswer ComputeWith(ElementType logits, Setter set,
                          const std::vector<double>& values,
                          ElementType operand) {
  OwnedSegment owned(logits, {3});
  owned.SetLogits({-1.5, 0.3, 7});
  owned.SetTargets(logits, {1, 0.25, 0});
  owned.segment.options.reduction = Reduction::kNone;
  owned.WantLosses();
  (owned.*set)(values, {1}, operand);
  return owned.Compute(cpu::BestInstructionSet());
}

TEST(Operands, WideOnesAreRoundedToTheLogitsTypeOnce) {
  const std::vector<double> values = {0.1, 1.0 / 3, 1 + 1e-12};
  for (const Setter set : kSetters) {
    // The float32 storage of the test's other segment rounds the same values.
    EXPECT_EQ(Difference(ComputeWith(ElementType::kFloat32, set, values,
                                     ElementType::kFloat64),
                         ComputeWith(ElementType::kFloat32, set, values,
                                     ElementType::kFloat32)),
              "");
  }
}

TEST(Operands, WideOnesKeepTheirDigitsWithWideLogits) {
  const std::vector<double> values = {0.1, 1.0 / 3, 1 + 1e-12};
  for (const Setter set : kSetters) {
    EXPECT_NE(Difference(ComputeWith(ElementType::kFloat64, set, values,
                                     ElementType::kFloat64),
                         ComputeWith(ElementType::kFloat64, set, values,
                                     ElementType::kFloat32)),
              "");
  }
}

TEST(Operands, NarrowOnesAreExactWithWideLogits) {
  const std::vector<double> values = {0.5, 3, 0};
  for (const Setter set : kSetters) {
    EXPECT_EQ(Difference(ComputeWith(ElementType::kFloat64, set, values,
                                     ElementType::kFloat32),
                         ComputeWith(ElementType::kFloat64, set, values,
                                     ElementType::kFloat64)),
              "");
  }
}

// Strides may be any, not only those of broadcasting: here rows and columns are
// exchanged.
TEST(Operands, MayLieInAnotherOrder) {
  OwnedSegment turned(ElementType::kFloat32, {2, 3});
  OwnedSegment straight(ElementType::kFloat32, {2, 3});
  turned.SetWeights({1, 2, 3, 4, 5, 6}, {1, 2});
  straight.SetWeights({1, 3, 5, 2, 4, 6}, {3, 1});
  for (OwnedSegment* owned : {&turned, &straight}) {
    owned->SetLogits({-1.5, 0.3, 7, 2, -1, 0});
    owned->SetTargets(ElementType::kFloat32, {1, 0.25, 0, 1, 0, 1});
  }
  EXPECT_EQ(Difference(turned.Compute(cpu::BestInstructionSet()),
                       straight.Compute(cpu::BestInstructionSet())),
            "");
}

// A weight that is 0 in the logits' type removes its element and is counted as
// 0: the normalizer is that of the weights that were used.
TEST(Operands, AWeightThatRoundsToZeroIsZeroForTheCountsToo) {
  for (const auto& [type, nonzero] : {std::pair(ElementType::kFloat32, 1u),
                                      std::pair(ElementType::kFloat64, 2u)}) {
    OwnedSegment owned(type, {2});
    owned.SetLogits({1, 1});
    owned.SetTargets(type, {0, 0});
    owned.SetWeights({1e-60, 1}, {1}, ElementType::kFloat64);
    owned.segment.options.normalizer = Normalizer::kNonzeroWeights;
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      const SegmentAnswer answer = owned.Compute(set);
      EXPECT_EQ(answer.totals.nonzero_weight_count, nonzero) << set.name;
      EXPECT_EQ(answer.normalizer, nonzero) << set.name;
      EXPECT_EQ(owned.gradient()[0] == 0, nonzero == 1) << set.name;
    }
  }
}

}  // namespace
}  // namespace lossd::kernels
