// The benchmark's proof finds a kernel that leaves a result as it was.
#include "bench/kernels/proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace lossd::kernels::cpu {
namespace {

using testing::HasSubstr;

// Returns the best set, and after it one that computes by `compute`.
std::vector<InstructionSet> WithBest(BlocksFunction compute) {
  InstructionSet lazy = BestInstructionSet();
  lazy.name = "LAZY";
  lazy.compute_blocks = compute;
  return {BestInstructionSet(), lazy};
}

void WithoutGradient(const Segment& segment, double scale, uint64_t first,
                     std::span<BlockPartial> partials) {
  Segment part = segment;
  part.gradient = nullptr;
  part.second_derivative = nullptr;
  BestInstructionSet().compute_blocks(part, scale, first, partials);
}

void WithoutSecondDerivative(const Segment& segment, double scale,
                             uint64_t first, std::span<BlockPartial> partials) {
  Segment part = segment;
  part.second_derivative = nullptr;
  BestInstructionSet().compute_blocks(part, scale, first, partials);
}

void WithoutPartials(const Segment& segment, double scale, uint64_t first,
                     std::span<BlockPartial> partials) {
  std::vector<BlockPartial> others(partials.size());
  BestInstructionSet().compute_blocks(segment, scale, first, others);
}

void WithoutLastBlock(const Segment& segment, double scale, uint64_t first,
                      std::span<BlockPartial> partials) {
  BestInstructionSet().compute_blocks(segment, scale, first,
                                      partials.first(partials.size() - 1));
}

TEST(Proof, FindsNothingInTheKernel) {
  EXPECT_EQ(WrongInSamples(InstructionSets()), "");
}

TEST(Proof, FindsAKernelThatLeavesAResultAsItWas) {
  for (const BlocksFunction lazy : {WithoutGradient, WithoutSecondDerivative,
                                    WithoutPartials, WithoutLastBlock}) {
    EXPECT_THAT(WrongInSamples(WithBest(lazy)), HasSubstr("on LAZY differs"));
  }
}

TEST(Proof, FindsItInTheFirstSetToo) {
  for (const BlocksFunction lazy : {WithoutGradient, WithoutSecondDerivative,
                                    WithoutPartials, WithoutLastBlock}) {
    std::vector<InstructionSet> sets = WithBest(lazy);
    sets.erase(sets.begin());
    EXPECT_THAT(WrongInSamples(sets), HasSubstr("on LAZY has a wrong"));
  }
}

}  // namespace
}  // namespace lossd::kernels::cpu
