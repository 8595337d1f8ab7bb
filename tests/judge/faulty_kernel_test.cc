// Kernels that are wrong in one place are found, each by the part of the judge
// that looks there.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "tests/judge/enumeration.h"
#include "tests/judge/families.h"
#include "tests/judge/float8s.h"
#include "tests/judge/halves.h"
#include "tests/judge/row_sums.h"

namespace lossd::judge {
namespace {

using kernels::BlockPartial;
using kernels::ElementType;
using kernels::Segment;
using kernels::cpu::BestInstructionSet;
using kernels::cpu::InstructionSet;

// Spoils the first element of a call's results.
using Spoil = void (*)(const Segment&);

// Returns the best instruction set with spoiled results.
template <Spoil kSpoil>
InstructionSet Faulty() {
  InstructionSet set = BestInstructionSet();
  set.compute_blocks = [](const Segment& segment, double scale, uint64_t first,
                          std::span<BlockPartial> partials) {
    BestInstructionSet().compute_blocks(segment, scale, first, partials);
    kSpoil(segment);
  };
  return set;
}

void AddToFirstByte(std::byte* bytes, int by) {
  bytes[0] = static_cast<std::byte>(std::to_integer<int>(bytes[0]) + by);
}

void SpoilPlainGradient(const Segment& segment) {
  if (segment.losses == nullptr && segment.gradient != nullptr)
    AddToFirstByte(segment.gradient, 1);
}

void SpoilLosses(const Segment& segment) {
  if (segment.losses != nullptr) AddToFirstByte(segment.losses + 4, 5);
}

void SpoilSecondDerivative(const Segment& segment) {
  if (segment.losses != nullptr)
    AddToFirstByte(segment.second_derivative + 4, 5);
}

// Writes a loss of 0 instead of an infinity or a NaN.
void SpoilLimits(const Segment& segment) {
  float first;
  std::memcpy(&first, segment.logits.pieces[0].data(), sizeof(first));
  if (segment.losses != nullptr && !std::isfinite(first))
    std::memset(segment.losses, 0, 4);
}

// Adds one part in 2^48 to the sum of the first row.
void SpoilRowSums(const Segment& segment) {
  if (segment.row_sums != nullptr) segment.row_sums[0] *= 1 + 0x1p-48;
}

void SpoilGradientOfRows(const Segment& segment) {
  if (segment.row_sums != nullptr) AddToFirstByte(segment.gradient, 1);
}

void SpoilFloat8Gradient(const Segment& segment) {
  if (IsFloat8(segment.logits.type)) AddToFirstByte(segment.gradient, 1);
}

EnumerationOptions Few(const InstructionSet& set) {
  EnumerationOptions options;
  options.stride = 1 << 14;
  options.peers = false;
  options.instruction_sets = {set};
  return options;
}

TEST(FaultyKernel, NothingIsWrongWithTheRealOne) {
  const Enumeration found = Enumerate(Few(BestInstructionSet()));
  EXPECT_GT(found.kernel.loss[0].count, 200000u);
  EXPECT_LE(found.kernel.loss[0].max, 2);
  EXPECT_EQ(found.kernel.loss_symmetry.count, 0u);
  for (const int t : {0, 1}) {
    EXPECT_GT(found.kernel.second[t].count, 200000u);
    EXPECT_LE(found.kernel.second[t].max, 2);
    EXPECT_EQ(found.kernel.second_steps[t].count, 0u);
  }
  EXPECT_EQ(found.kernel.second_symmetry.count, 0u);
  EXPECT_EQ(found.paths.count, 0u);
  EXPECT_EQ(found.instruction_sets.count, 0u);
  EXPECT_EQ(CheckLimits({{BestInstructionSet()}}, 100).broken, "");
  EXPECT_EQ(CheckHalves(BestInstructionSet()).different, 0u);
  const Float8Findings float8s = CheckFloat8s(BestInstructionSet());
  EXPECT_EQ(float8s.different, 0u);
  // Losses and gradients of 21 copies of 256 patterns, in two formats, for two
  // targets of two types and two formats of the gradient.
  EXPECT_EQ(float8s.results, 2u * 21 * 256 * 2 * 2 * 2 * 2);
  const RowFindings rows = CheckRows(BestInstructionSet(), 5000, 1);
  EXPECT_LE(rows.max_ulps, kRowBound);
  EXPECT_EQ(rows.different, 0u);
}

TEST(FaultyKernel, IsFoundWhereRowsAreAddedUpWrongly) {
  const RowFindings sums = CheckRows(Faulty<&SpoilRowSums>(), 5000, 1);
  EXPECT_GT(sums.max_ulps, kRowBound);
  EXPECT_EQ(sums.different, 0u);
  const RowFindings gradient =
      CheckRows(Faulty<&SpoilGradientOfRows>(), 5000, 1);
  EXPECT_LE(gradient.max_ulps, kRowBound);
  EXPECT_GT(gradient.different, 0u);
}

TEST(FaultyKernel, IsFoundWhereTheLoopsDiffer) {
  const Enumeration found = Enumerate(Few(Faulty<&SpoilPlainGradient>()));
  EXPECT_GT(found.paths.count, 0u);
  EXPECT_EQ(found.kernel.gradient_symmetry.count, 0u);
  EXPECT_NE(CheckLimits({{Faulty<&SpoilPlainGradient>()}}, 100).broken, "");
  EXPECT_GT(CheckHalves(Faulty<&SpoilPlainGradient>()).different, 0u);
}

TEST(FaultyKernel, IsFoundWhereALossIsFiveUnitsOff) {
  const Enumeration found = Enumerate(Few(Faulty<&SpoilLosses>()));
  EXPECT_GT(found.kernel.loss[0].max, 4);
  EXPECT_GT(found.kernel.loss_symmetry.count, 0u);
  EXPECT_EQ(found.kernel.gradient_symmetry.count, 0u);
  for (const FamilyFindings& family :
       JudgeFamilies(Faulty<&SpoilLosses>(), 10, 1)) {
    if (family.family->type != ElementType::kFloat32) continue;
    EXPECT_GT(family.loss.max, 3) << family.family->name;
  }
}

TEST(FaultyKernel, IsFoundWhereASecondDerivativeIsFiveUnitsOff) {
  const auto faulty = Faulty<&SpoilSecondDerivative>();
  const Enumeration found = Enumerate(Few(faulty));
  EXPECT_GT(found.kernel.second[0].max, 4);
  EXPECT_GT(found.kernel.second_symmetry.count, 0u);
  EXPECT_GT(found.paths.count, 0u);
  EXPECT_EQ(found.kernel.loss_symmetry.count, 0u);
  for (const FamilyFindings& family : JudgeFamilies(faulty, 10, 1)) {
    if (family.family->type != ElementType::kFloat32) continue;
    EXPECT_GT(family.second.max, 2) << family.family->name;
  }
}

TEST(FaultyKernel, IsFoundWhereASetGivesOtherBits) {
  EnumerationOptions options = Few(BestInstructionSet());
  options.instruction_sets.push_back(Faulty<&SpoilLosses>());
  const Enumeration found = Enumerate(options);
  EXPECT_GT(found.instruction_sets.count, 0u);
  EXPECT_LE(found.kernel.loss[0].max, 2);
}

TEST(FaultyKernel, IsFoundAtInfinitiesAndNans) {
  const std::string broken =
      CheckLimits({{Faulty<&SpoilLimits>()}}, 100).broken;
  EXPECT_NE(broken.find("at -inf, 1"), std::string::npos) << broken;
  EXPECT_NE(broken.find("NaNs from 0x7f800001"), std::string::npos) << broken;
}

TEST(FaultyKernel, IsFoundWhereAFloat8GradientIsTheNextOne) {
  EXPECT_GT(CheckFloat8s(Faulty<&SpoilFloat8Gradient>()).different, 0u);
}

TEST(Float8s, AreReadAndRoundedAsTheirFormatsSay) {
  const auto e4m3 = ElementType::kFloat8E4M3Fn, e5m2 = ElementType::kFloat8E5M2;
  EXPECT_EQ(Float8Value(e4m3, 0x38), 1.0);
  EXPECT_EQ(Float8Value(e4m3, 0x81), -0x1p-9);
  EXPECT_EQ(Float8Value(e4m3, 0x7e), 448.0);
  EXPECT_TRUE(std::isnan(Float8Value(e4m3, 0xff)));
  EXPECT_EQ(Float8Value(e5m2, 0x3c), 1.0);
  EXPECT_EQ(Float8Value(e5m2, 0x7b), 57344.0);
  EXPECT_TRUE(std::isinf(Float8Value(e5m2, 0xfc)));
  EXPECT_TRUE(std::isnan(Float8Value(e5m2, 0x7d)));
  EXPECT_EQ(NearestFloat8(e4m3, 1 + 0x1p-4), 1.0);  // ties to even
  EXPECT_EQ(NearestFloat8(e4m3, 1 + 0x3p-4), 1.25);
  EXPECT_EQ(NearestFloat8(e4m3, 0x1p-10), 0.0);
  EXPECT_EQ(NearestFloat8(e4m3, 464.0), 448.0);
  EXPECT_TRUE(std::isnan(NearestFloat8(e4m3, 464.01)));
  EXPECT_EQ(NearestFloat8(e5m2, 61439.0), 57344.0);
  EXPECT_TRUE(std::isinf(NearestFloat8(e5m2, -61440.0)));
}

TEST(Halves, AreReadAndRoundedAsTheirFormatsSay) {
  const auto half = ElementType::kFloat16, brain = ElementType::kBFloat16;
  EXPECT_EQ(HalfValue(half, 0x3c00), 1.0);
  EXPECT_EQ(HalfValue(half, 0x8001), -0x1p-24);
  EXPECT_EQ(HalfValue(half, 0x7bff), 65504.0);
  EXPECT_EQ(HalfValue(brain, 0x3f80), 1.0);
  EXPECT_TRUE(std::isnan(HalfValue(brain, 0xffc0)));
  EXPECT_EQ(NearestHalf(half, 1 + 0x1p-11), 1.0);  // ties to even
  EXPECT_EQ(NearestHalf(half, 1 + 0x3p-11), 1 + 0x1p-9);
  EXPECT_EQ(NearestHalf(half, 0x1p-25), 0.0);
  EXPECT_EQ(NearestHalf(half, -0x1.8p-25), -0x1p-24);
  EXPECT_EQ(NearestHalf(half, 65519.0), 65504.0);
  EXPECT_TRUE(std::isinf(NearestHalf(half, 65520.0)));
  EXPECT_EQ(NearestHalf(brain, 1 + 0x1p-8), 1.0);
}

}  // namespace
}  // namespace lossd::judge
