// How close loss and derivative are to the exact values, over bit patterns of
// logits: every exponent, the subnormals, both signs. The reference computes in
// more digits than are judged: float64 for float32, long double for float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/loss_curve.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {
namespace {

struct Worst {
  double loss = 0;
  double gradient = 0;
};

// Returns the largest errors over the logits whose bits are `first`, `first` +
// `step`, ... The reduction is a sum, so that no scale rounds.
template <class T, class Bits>
Worst WorstOver(Bits first, Bits last, Bits step, double target,
                T pos_weight = 1) {
  std::vector<double> logits;
  for (Bits bits = first; bits < last - step; bits += step) {
    const T x = std::bit_cast<T>(bits);
    logits.push_back(x);
    logits.push_back(-x);
  }
  const ElementType type =
      sizeof(T) == 4 ? ElementType::kFloat32 : ElementType::kFloat64;
  OwnedSegment owned(type, {logits.size()});
  owned.SetLogits(logits);
  owned.SetTargets(type, std::vector<double>(logits.size(), target));
  if (pos_weight != 1) owned.SetPosWeight({pos_weight}, {0}, type);
  owned.segment.options.reduction = Reduction::kNone;
  owned.WantLosses();
  owned.Compute(cpu::BestInstructionSet());
  const std::vector<double> losses = owned.losses();
  const std::vector<double> gradient = owned.gradient();
  Worst worst;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto exact =
        reference::SigmoidCrossEntropy(logits[i], target, pos_weight, 1);
    worst.loss =
        std::max(worst.loss, Ulps(static_cast<T>(losses[i]), exact.loss));
    worst.gradient = std::max(
        worst.gradient, Ulps(static_cast<T>(gradient[i]), exact.derivative));
  }
  return worst;
}

constexpr uint32_t kInfinity32 = 0x7f800000;
constexpr uint64_t kInfinity64 = 0x7ff0000000000000;

TEST(Accuracy, Float32LossAndHardTargetGradientAreWithinOneUlp) {
  for (const double target : {0.0, 1.0}) {
    const Worst worst =
        WorstOver<float, uint32_t>(0, kInfinity32, 4001, target);
    RecordProperty(target == 0 ? "loss_ulps_0" : "loss_ulps_1",
                   std::to_string(worst.loss));
    std::printf("float32, t = %g: loss %.3f ulp, gradient %.3f ulp\n", target,
                worst.loss, worst.gradient);
    EXPECT_LE(worst.loss, 1.0);
    EXPECT_LE(worst.gradient, 1.0);
  }
}

// The logits are denser where the results are neither constants nor one
// exponential.
TEST(Accuracy, Float32IsWithinOneUlpBetweenAQuarterAnd32) {
  const auto bits = [](float x) { return std::bit_cast<uint32_t>(x); };
  const Worst worst = WorstOver<float, uint32_t>(bits(0.25f), bits(32), 211, 0);
  std::printf("float32 in [1/4, 32): loss %.3f ulp, gradient %.3f ulp\n",
              worst.loss, worst.gradient);
  EXPECT_LE(worst.loss, 1.0);
  EXPECT_LE(worst.gradient, 1.0);
}

TEST(Accuracy, Float64LossAndHardTargetGradientAreWithinTwoUlps) {
  for (const double target : {0.0, 1.0}) {
    const Worst worst = WorstOver<double, uint64_t>(
        0, kInfinity64, 0x7ff0000000000000 / 300007, target);
    std::printf("float64, t = %g: loss %.3f ulp, gradient %.3f ulp\n", target,
                worst.loss, worst.gradient);
    EXPECT_LE(worst.loss, 2.0);
    EXPECT_LE(worst.gradient, 2.0);
  }
}

// A weight multiplies a result that is already rounded. Logits end at 80, or
// 700: beyond them e^-y is subnormal, and a weight shows how few digits it has.
TEST(Accuracy, WithAPositiveWeightResultsAreWithinFourUlps) {
  for (const double q : {0.1, 0.7, 3.7, 100.3}) {
    const auto narrow = WorstOver<float, uint32_t>(
        0, std::bit_cast<uint32_t>(80.0f), 4001, 1, static_cast<float>(q));
    const auto wide = WorstOver<double, uint64_t>(
        0, std::bit_cast<uint64_t>(700.0), 0x4085e00000000000 / 100003, 1, q);
    std::printf("positive weight %g: float32 %.3f and %.3f ulp, ", q,
                narrow.loss, narrow.gradient);
    std::printf("float64 %.3f and %.3f ulp\n", wide.loss, wide.gradient);
    for (const Worst& worst : {narrow, wide}) {
      EXPECT_LE(worst.loss, 2.0) << q;
      EXPECT_LE(worst.gradient, 2.0) << q;
    }
  }
}

// Where the terms of a soft target cancel, a rounded result is not close in
// ulps of itself, but it is in ulps of the larger term.
TEST(Accuracy, SoftTargetsAreWithinTwoUlpsOfTheLargerTerm) {
  for (const double target : {1e-10, 0.125, 0.5, 0.7, 0.999}) {
    const float t = static_cast<float>(target);
    std::vector<double> logits;
    for (uint32_t bits = 0x30000000; bits < 0x43000000; bits += 7919) {
      logits.push_back(std::bit_cast<float>(bits));
      logits.push_back(-logits.back());
    }
    OwnedSegment owned(ElementType::kFloat32, {logits.size()});
    owned.SetLogits(logits);
    owned.SetTargets(ElementType::kFloat32,
                     std::vector<double>(logits.size(), t));
    owned.segment.options.reduction = Reduction::kNone;
    owned.WantLosses();
    owned.Compute(cpu::BestInstructionSet());
    const auto losses = owned.losses();
    const auto gradient = owned.gradient();
    for (size_t i = 0; i < logits.size(); ++i) {
      const auto exact = reference::SigmoidCrossEntropy(logits[i], t, 1, 1);
      ASSERT_LE(Ulps(static_cast<float>(losses[i]), exact.loss), 3.0)
          << logits[i] << " " << t;
      ASSERT_LE(std::fabs(gradient[i] - static_cast<double>(exact.derivative)),
                0x1p-23)
          << logits[i] << " " << t;
    }
  }
}

TEST(Accuracy, MirroredLogitsAndTargetsGiveTheSameBits) {
  std::vector<double> logits, mirrored;
  for (uint32_t bits = 0; bits <= kInfinity32 - 40009; bits += 40009) {
    logits.push_back(std::bit_cast<float>(bits));
    mirrored.push_back(-logits.back());
  }
  OwnedSegment one(ElementType::kFloat32, {logits.size()});
  OwnedSegment zero(ElementType::kFloat32, {logits.size()});
  one.SetLogits(logits);
  zero.SetLogits(mirrored);
  one.SetTargets(ElementType::kFloat32, std::vector<double>(logits.size(), 1));
  zero.SetTargets(ElementType::kFloat32, std::vector<double>(logits.size(), 0));
  for (OwnedSegment* owned : {&one, &zero}) {
    owned->segment.options.reduction = Reduction::kNone;
    owned->WantLosses();
    owned->Compute(cpu::BestInstructionSet());
  }
  EXPECT_EQ(one.losses(), zero.losses());
  const auto gradient = one.gradient();
  const auto other = zero.gradient();
  for (size_t i = 0; i < gradient.size(); ++i)
    ASSERT_EQ(gradient[i], -other[i]) << logits[i];
}

TEST(Accuracy, TheLossNeverRisesWithALogitOfAPositive) {
  for (const float start :
       {0.0f, 1e-3f, 0.24f, 0.49999f, 0.99999f, 1.7f, 9.4f, 16.6f, 87.3f}) {
    std::vector<double> logits;
    for (uint32_t k = 0; k < 20000; ++k) {
      logits.push_back(
          std::bit_cast<float>(std::bit_cast<uint32_t>(start) + k));
    }
    OwnedSegment owned(ElementType::kFloat32, {logits.size()});
    owned.SetLogits(logits);
    owned.SetTargets(ElementType::kFloat32,
                     std::vector<double>(logits.size(), 1));
    owned.segment.options.reduction = Reduction::kNone;
    owned.WantLosses();
    owned.Compute(cpu::BestInstructionSet());
    const auto losses = owned.losses();
    EXPECT_TRUE(std::is_sorted(losses.rbegin(), losses.rend())) << start;
  }
}

}  // namespace
}  // namespace lossd::kernels
