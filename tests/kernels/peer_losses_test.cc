// Faults that users of other systems' focal and asymmetric losses reported.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/kernels/loss_curve.h"

namespace lossd::kernels {
namespace {

std::vector<LossOptions> LossesWithPowers() {
  return {FocalOptions(2, 0.25), FocalOptions(0.5), AsymmetricOptions(1, 4),
          AsymmetricOptions(1, 4, 0.05)};
}

// kornia 918, optax 1267: a power below 1, or 0, of a base that underflows.
TEST(PeerLosses, GammasBelowOneAreFiniteInTheTails) {
  std::vector<double> logits;
  for (double x = 1; x < 1e38; x *= 1.7) {
    logits.push_back(static_cast<float>(x));
    logits.push_back(-logits.back());
  }
  for (const double gamma : {0.0, 1e-30, 0.1, 0.5, 0.999}) {
    for (const LossOptions& options :
         {FocalOptions(gamma), FocalOptions(gamma, 0.25),
          AsymmetricOptions(gamma, gamma),
          AsymmetricOptions(gamma, gamma, 0.05)}) {
      for (const double target : {0.0, 0.5, 1.0}) {
        const LossCurve curve = CurveOfLoss<float>(options, logits, target);
        for (size_t i = 0; i < logits.size(); ++i) {
          ASSERT_TRUE(std::isfinite(curve.losses[i]))
              << Name(options.kind) << " " << gamma << " " << logits[i];
          ASSERT_LE(std::fabs(curve.gradient[i]), 1.5)
              << Name(options.kind) << " " << gamma << " " << logits[i];
        }
      }
    }
  }
}

// mmcv 1488: float16 logits of 9.39 gave NaNs, because 1 - p was 0.
TEST(PeerLosses, HalfLogitsOfNineHaveALossAndAGradient) {
  for (const LossOptions& options : LossesWithPowers()) {
    for (const ElementType type :
         {ElementType::kFloat16, ElementType::kBFloat16}) {
      OwnedSegment owned(type, {4});
      owned.segment.options = options;
      owned.segment.options.reduction = Reduction::kNone;
      owned.SetLogits({9.390625, -9.390625, 9.390625, -9.390625});
      owned.SetTargets(ElementType::kUint8, {1, 0, 0, 1});
      owned.WantLosses();
      owned.Compute(cpu::BestInstructionSet());
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(std::isfinite(owned.losses()[i])) << i;
        EXPECT_TRUE(std::isfinite(owned.gradient()[i])) << i;
      }
      EXPECT_GT(owned.losses()[3], 1);
      EXPECT_LT(owned.gradient()[3], -0.25 * 0.99);
    }
  }
}

// Detectron, Chainer, Keras: a weight of 0 gives 0 and not NaN, even for
// infinite losses.
TEST(PeerLosses, EverythingIgnoredOrOfWeightZeroIsZero) {
  for (const LossOptions& options : LossesWithPowers()) {
    for (const bool ignored : {false, true}) {
      for (int normalizer = 0; normalizer < 6; ++normalizer) {
        OwnedSegment owned(ElementType::kFloat32, {4});
        owned.segment.options = options;
        owned.segment.options.normalizer = static_cast<Normalizer>(normalizer);
        owned.SetLogits({-INFINITY, INFINITY, 0.5, -3});
        owned.SetTargets(ElementType::kFloat32, {1, 1, 1, 1});
        if (ignored) {
          owned.segment.options.ignore_target = 1;
        } else {
          owned.SetWeights({0}, {0});
        }
        EXPECT_EQ(owned.Compute(cpu::BestInstructionSet()).loss, 0);
        EXPECT_EQ(owned.gradient(), std::vector<double>(4));
      }
    }
  }
}

// The positive weight multiplies the positive term alone.
TEST(PeerLosses, APositiveWeightScalesPositivesAndLeavesNegatives) {
  const std::vector<double> logits = {-14.913, -2, -0.1, 0.3, 5, 40};
  for (const LossOptions& options : LossesWithPowers()) {
    for (const double target : {0.0, 1.0}) {
      const auto plain = CurveOfLoss<double>(options, logits, target);
      const auto weighted = CurveOfLoss<double>(options, logits, target, 3);
      const double factor = target == 0 ? 1 : 3;
      for (size_t i = 0; i < logits.size(); ++i) {
        EXPECT_NEAR(weighted.losses[i] / (factor * plain.losses[i] + 1e-300),
                    plain.losses[i] == 0 ? 0 : 1, 1e-14)
            << logits[i];
        EXPECT_NEAR(weighted.gradient[i], factor * plain.gradient[i],
                    1e-14 * std::fabs(plain.gradient[i]))
            << logits[i];
      }
    }
  }
}

}  // namespace
}  // namespace lossd::kernels
