// Every float8 logit with every hard target, in segments that are short enough
// for the exact loop and in those that are looked up.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "element_type/half.h"
#include "kernels/reference/reference.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

constexpr ElementType kFloat8s[] = {ElementType::kFloat8E4M3Fn,
                                    ElementType::kFloat8E5M2};
constexpr ElementType kHard[] = {ElementType::kBit, ElementType::kUint8,
                                 ElementType::kBool};

// Returns all numbers of a float8 type, infinities included.
std::vector<double> NumbersOf(ElementType type) {
  std::vector<double> numbers;
  for (uint16_t bits = 0; bits < 0x100; ++bits) {
    const double value = NarrowToDouble(type, bits);
    if (!std::isnan(value)) numbers.push_back(value);
  }
  return numbers;
}

// A segment of `n` elements: all numbers over and over, with targets that are
// first all 0, then all 1, then random.
struct Elements {
  std::vector<double> logits, targets;
};
Elements ElementsOf(ElementType type, size_t n) {
  const std::vector<double> numbers = NumbersOf(type);
  std::mt19937 random(7);
  Elements all;
  for (size_t i = 0; i < n; ++i) {
    all.logits.push_back(numbers[i % numbers.size()]);
    const size_t round = i / numbers.size();
    all.targets.push_back(round < 2 ? static_cast<double>(round)
                                    : static_cast<double>(random() % 2));
  }
  return all;
}

// Returns what rounding of the exact value may give: the nearest element, or
// one of two that are about equally near.
bool IsRounded(ElementType type, double got, long double exact) {
  const auto rounded = [&](double value) {
    return DoubleToNarrow(type, value);
  };
  const auto near = static_cast<double>(exact);
  for (const double off : {1 - 1e-6, 1.0, 1 + 1e-6}) {
    const auto bits = rounded(near * off);
    const double value =
        bits ? NarrowToDouble(type, *bits) : std::copysign(INFINITY, near);
    if (value == got) return true;
    const bool overflows = !bits && type == ElementType::kFloat8E4M3Fn;
    if (overflows && std::isnan(got)) return true;
  }
  return false;
}

void ExpectTheReference(ElementType type, ElementType targets, size_t n,
                        const LossOptions& options) {
  const Elements all = ElementsOf(type, n);
  OwnedSegment owned(type, {n});
  owned.segment.options = options;
  owned.segment.options.reduction = Reduction::kNone;
  owned.SetLogits(all.logits);
  owned.SetTargets(targets, all.targets);
  owned.WantLosses();
  owned.WantSecondDerivative();
  const reference::Answer exact = reference::Compute(owned.segment);
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    owned.Compute(set);
    const auto losses = owned.losses(), gradient = owned.gradient(),
               second = owned.second_derivative();
    for (size_t i = 0; i < n; ++i) {
      ASSERT_TRUE(IsRounded(type, losses[i], exact.losses[i]))
          << set.name << " loss of " << all.logits[i] << ", " << all.targets[i]
          << ": " << losses[i] << " is not " << exact.losses[i];
      ASSERT_TRUE(IsRounded(type, gradient[i], exact.gradient[i]))
          << set.name << " gradient of " << all.logits[i] << ", "
          << all.targets[i] << ": " << gradient[i];
      ASSERT_TRUE(IsRounded(type, second[i], exact.second_derivative[i]))
          << set.name << " second derivative of " << all.logits[i] << ", "
          << all.targets[i] << ": " << second[i];
    }
  }
}

TEST(Float8, EveryLogitWithAHardTargetHasTheReferencesResultsRounded) {
  LossOptions focal;
  focal.kind = LossKind::kSigmoidFocal;
  focal.focal_gamma = 2;
  focal.focal_alpha = 0.25;
  LossOptions smooth;
  smooth.label_smoothing = 0.125;
  LossOptions weighted;
  weighted.loss_weight = 3;
  for (const ElementType type : kFloat8s) {
    for (const ElementType targets : kHard) {
      for (const size_t n : {512, 3071, 3072, 4096}) {
        ExpectTheReference(type, targets, n, LossOptions());
        ExpectTheReference(type, targets, n, focal);
        ExpectTheReference(type, targets, n, smooth);
        ExpectTheReference(type, targets, n, weighted);
      }
    }
  }
}

// Returns the answer of float32 logits of the same values; the gradient is
// rounded to `type`.
SegmentAnswer AsFloat32(const Elements& all, ElementType targets,
                        ElementType gradient) {
  OwnedSegment wide(ElementType::kFloat32, {all.logits.size()});
  wide.SetLogits(all.logits);
  wide.SetTargets(targets, all.targets);
  wide.segment.options.reduction = Reduction::kSum;
  wide.SetGradientType(gradient);
  return wide.Compute(cpu::BestInstructionSet());
}

// The table must keep the order of the sum, so the bits of the loss are those
// of float32 logits of any length, in any portion.
TEST(Float8, ATableHasTheBitsOfFloat32Logits) {
  for (const ElementType type : kFloat8s) {
    for (const ElementType targets : kHard) {
      for (const size_t n :
           {1, 3071, 3072, 3073, 4095, 4096, 4097, 4224, 6145, 10000}) {
        Elements all = ElementsOf(type, n);
        std::erase_if(all.logits, [](double x) { return std::isinf(x); });
        all.targets.resize(all.logits.size());
        OwnedSegment owned(type, {all.logits.size()});
        owned.SetLogits(all.logits);
        owned.SetTargets(targets, all.targets);
        owned.segment.options.reduction = Reduction::kSum;
        for (const ElementType gradient : kFloatTypes) {
          owned.SetGradientType(gradient);
          const SegmentAnswer expected = AsFloat32(all, targets, gradient);
          for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
            for (const uint64_t blocks : {1, 2, 100}) {
              ASSERT_EQ(Difference(owned.Compute(set, blocks), expected), "")
                  << set.name << " " << Name(type) << " " << Name(targets)
                  << " " << n << ", " << blocks << " blocks a call";
            }
          }
        }
      }
    }
  }
}

TEST(Float8, NansAndBadTargetsAmongManyElementsAreFound) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const ElementType type : kFloat8s) {
    std::vector<double> logits(5000, 1.5), targets(5000, 1);
    logits[2050] = logits[4000] = nan;
    targets[3000] = 2;
    OwnedSegment owned(type, {5000});
    owned.SetLogits(logits);
    owned.SetTargets(ElementType::kUint8, targets);
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      const Totals totals = owned.Compute(set).totals;
      EXPECT_EQ(totals.nan_count, 2u) << set.name;
      EXPECT_EQ(totals.first_nan, 2050u) << set.name;
      EXPECT_EQ(totals.first_bad_target, 3000u) << set.name;
      EXPECT_EQ(totals.valid_count, 5000u) << set.name;
    }
  }
}

TEST(Float8, IgnoredTargetsTakeNoPart) {
  for (const double ignored : {0, 1, 255}) {
    std::vector<double> targets(5000);
    for (size_t i = 0; i < targets.size(); ++i) {
      targets[i] = i % 3 == 0 ? ignored : static_cast<double>(i % 2);
    }
    OwnedSegment owned(ElementType::kFloat8E4M3Fn, {5000});
    owned.segment.options.ignore_target = ignored;
    owned.SetLogits(std::vector<double>(5000, 0.5));
    owned.SetTargets(ElementType::kUint8, targets);
    const auto count = static_cast<uint64_t>(
        std::count_if(targets.begin(), targets.end(),
                      [&](double t) { return t != ignored; }));
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      EXPECT_EQ(owned.Compute(set).totals.valid_count, count) << set.name;
    }
  }
}

// Ignored elements are looked up too, whatever their logits are.
TEST(Float8, ATableHasTheBitsOfFloat32LogitsWithIgnoredTargets) {
  constexpr size_t kCount = 10001;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const ElementType type : kFloat8s) {
    for (const double ignored : {0, 1, 7, 255}) {
      Elements all = ElementsOf(type, kCount);
      for (size_t i = 0; i < kCount; ++i) {
        if (i % 5 == 0 && i < 4000) all.targets[i] = ignored;
        if (std::isinf(all.logits[i])) all.logits[i] = 2;
        if (all.targets[i] == ignored && i % 3 == 0) all.logits[i] = nan;
      }
      OwnedSegment owned(type, {kCount});
      OwnedSegment wide(ElementType::kFloat32, {kCount});
      for (OwnedSegment* each : {&owned, &wide}) {
        each->segment.options.ignore_target = ignored;
        each->segment.options.reduction = Reduction::kSum;
        each->SetLogits(all.logits);
        each->SetTargets(ElementType::kUint8, all.targets);
        each->WantSecondDerivative();
      }
      for (const ElementType gradient : kFloatTypes) {
        owned.SetGradientType(gradient);
        wide.SetGradientType(gradient);
        const SegmentAnswer expected = wide.Compute(cpu::BestInstructionSet());
        for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
          ASSERT_EQ(Difference(owned.Compute(set), expected), "")
              << set.name << " " << Name(type) << ", ignored " << ignored;
        }
      }
    }
  }
}

TEST(Float8, AnOverflowIsANanInE4M3AndAnInfinityInE5M2) {
  for (const uint64_t n : {8, 4096}) {
    for (const ElementType type : kFloat8s) {
      OwnedSegment owned(type, {n});
      owned.SetLogits(std::vector<double>(n, -40));
      owned.SetTargets(ElementType::kBit, std::vector<double>(n, 1));
      owned.segment.options.reduction = Reduction::kSum;
      owned.segment.upstream_scalar = 1e5;
      for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
        const auto answer = owned.Compute(set);
        const auto expected = type == ElementType::kFloat8E4M3Fn
                                  ? std::byte{0x7f}
                                  : std::byte{0xfc};
        EXPECT_EQ(std::count(answer.gradient.begin(), answer.gradient.end(),
                             expected),
                  static_cast<std::ptrdiff_t>(n))
            << set.name << Name(type);
      }
    }
  }
}

}  // namespace
}  // namespace lossd::kernels
