// The asymmetric loss (ASL) against the reference, against its authors'
// formula, and in the tails.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "tests/kernels/loss_curve.h"

namespace lossd::kernels {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
class AsymmetricOf : public testing::Test {};
using ArithmeticTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(AsymmetricOf, ArithmeticTypes);

TYPED_TEST(AsymmetricOf, AHardTargetIsWithinFourUlps) {
  const int count = sizeof(TypeParam) == 4 ? 4000 : 1500;
  for (const double gamma : {0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 20.0}) {
    const LossOptions options = AsymmetricOptions(gamma, gamma / 2);
    for (const double target : {0.0, 1.0}) {
      const auto worst =
          WorstOverEveryExponent<TypeParam>(options, target, count);
      std::printf("gammas %g and %g, t = %g: loss %.2f, gradient %.2f ulp\n",
                  gamma, gamma / 2, target, worst.loss, worst.gradient);
      EXPECT_LE(worst.loss, gamma <= 5 ? 1.25 : 4.0) << gamma;
      EXPECT_LE(worst.gradient, gamma <= 5 ? 4.0 : 6.0) << gamma;
    }
  }
}

// p_m = p - m cancels near the margin. There a result is as exact as p, whose
// relative error is below 2^-26 (float64: 2^-55), allows. Elsewhere it is
// within a few ulps plus the effect of gamma on the rounding of p_m.
template <class T>
void ExpectAccurateWithMargin(double margin) {
  const std::vector<double> logits = LogitsOfEveryExponent<T>(1500);
  const double tiny = std::numeric_limits<T>::epsilon();
  for (const double gamma : {0.0, 0.5, 1.0, 4.0}) {
    const LossOptions options = AsymmetricOptions(1, gamma, margin);
    const LossCurve curve = CurveOfLoss<T>(options, logits, 0);
    for (size_t i = 0; i < logits.size(); ++i) {
      const long double x = logits[i];
      const auto exact = reference::ElementOf(options, {x, 0, 1});
      const long double p = 1 / (1 + std::exp(-x));
      const auto condition = static_cast<double>(p / std::fabs(p - margin));
      if (condition * tiny > 0.01) continue;  // at the margin itself
      const double bound = 5 + 3 * gamma + (1 + gamma) * condition / 4;
      ASSERT_LE(Ulps(static_cast<T>(curve.losses[i]), exact.loss), bound)
          << logits[i] << " " << gamma << " " << margin;
      ASSERT_LE(Ulps(static_cast<T>(curve.gradient[i]), exact.derivative),
                // e^-y has few digits where it is subnormal, and it is divided
                // by the margin.
                std::fabs(logits[i]) < (sizeof(T) == 4 ? 87 : 708)
                    ? bound + 2
                    : bound + 2 + 1 / margin)
          << logits[i] << " " << gamma << " " << margin;
    }
  }
}

TYPED_TEST(AsymmetricOf, WithAMarginIsAsExactAsTheDistanceFromTheMargin) {
  for (const double margin : {1e-9, 0.05, 0.2, 0.5}) {
    ExpectAccurateWithMargin<TypeParam>(margin);
  }
}

// The loss of a soft target has both terms: a weighted sum of those of the hard
// targets.
TYPED_TEST(AsymmetricOf, IsLinearInTheTarget) {
  using T = TypeParam;
  const std::vector<double> logits = LogitsOfEveryExponent<T>(500);
  for (const double margin : {0.0, 0.05}) {
    const LossOptions options = AsymmetricOptions(1, 4, margin);
    const LossCurve zero = CurveOfLoss<T>(options, logits, 0);
    const LossCurve one = CurveOfLoss<T>(options, logits, 1);
    for (const double t : {0.125, 0.5, 0.75}) {
      const LossCurve soft = CurveOfLoss<T>(options, logits, t);
      for (size_t i = 0; i < logits.size(); ++i) {
        const auto near = [&](double got, double a, double b) {
          const double size = std::fabs(a) + std::fabs(b);
          return std::fabs(got - (t * a + (1 - t) * b)) <=
                 4 * std::numeric_limits<T>::epsilon() * size +
                     4 * std::numeric_limits<T>::denorm_min();
        };
        ASSERT_TRUE(near(soft.losses[i], one.losses[i], zero.losses[i]))
            << logits[i] << " " << t;
        ASSERT_TRUE(near(soft.gradient[i], one.gradient[i], zero.gradient[i]))
            << logits[i] << " " << t;
      }
    }
  }
}

// Beyond the unit interval the formula continues with weights of both signs.
TEST(Asymmetric, AnyTargetHasTheValueOfTheFormula) {
  const std::vector<double> logits = LogitsOfEveryExponent<double>(300);
  for (const double margin : {0.0, 0.05}) {
    LossOptions options = AsymmetricOptions(1, 4, margin);
    options.targets_in_unit_interval = false;
    for (const double t : {-1.0, 2.0, 3.5}) {
      const LossCurve curve = CurveOfLoss<double>(options, logits, t, 2);
      for (size_t i = 0; i < logits.size(); ++i) {
        const auto exact =
            reference::ElementOf(options, {logits[i], t, 1 - t, 2});
        ASSERT_NEAR(curve.losses[i], static_cast<double>(exact.loss),
                    1e-12 * (1 + std::fabs(static_cast<double>(exact.loss))))
            << logits[i] << " " << t;
        ASSERT_NEAR(curve.gradient[i], static_cast<double>(exact.derivative),
                    1e-12)
            << logits[i] << " " << t;
      }
    }
  }
}

TEST(Asymmetric, GammasOfZeroWithoutMarginHaveTheBitsOfTheCrossEntropy) {
  const std::vector<double> logits = LogitsOfEveryExponent<float>(2000);
  for (const double t : {0.0, 0.3, 1.0}) {
    const auto loss = CurveOfLoss<float>(AsymmetricOptions(0, 0), logits, t);
    const LossCurve entropy = CurveOfLoss<float>(LossOptions(), logits, t);
    EXPECT_EQ(loss.losses, entropy.losses) << t;
    EXPECT_EQ(loss.gradient, entropy.gradient) << t;
  }
}

// For a hard target each of the two losses has only one term, and the terms are
// the same.
TEST(Asymmetric, OfAHardTargetItIsTheFocalLossWithinAFewUlps) {
  const std::vector<double> logits = LogitsOfEveryExponent<float>(2000);
  for (const double t : {0.0, 1.0}) {
    const auto loss = CurveOfLoss<float>(AsymmetricOptions(2, 2), logits, t);
    const auto focal = CurveOfLoss<float>(FocalOptions(2), logits, t);
    EXPECT_EQ(loss.losses, focal.losses) << t;
    for (size_t i = 0; i < logits.size(); ++i) {
      ASSERT_LE(Ulps(static_cast<float>(loss.gradient[i]), focal.gradient[i]),
                5)
          << logits[i];
    }
  }
}

TYPED_TEST(AsymmetricOf, WithoutMarginIsMirroredBitForBit) {
  using T = TypeParam;
  std::vector<double> logits = LogitsOfEveryExponent<T>(1000);
  logits.insert(logits.end(), {kInfinity, -kInfinity});
  std::vector<double> mirrored = logits;
  for (double& x : mirrored) x = -x;
  for (const double target : {0.0, 0.25, 0.5, 1.0}) {
    const auto one = CurveOfLoss<T>(AsymmetricOptions(1, 4), logits, target);
    const auto other =
        CurveOfLoss<T>(AsymmetricOptions(4, 1), mirrored, 1 - target);
    EXPECT_EQ(one.losses, other.losses) << target;
    for (size_t i = 0; i < logits.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint64_t>(one.gradient[i]),
                std::bit_cast<uint64_t>(-other.gradient[i]))
          << target << " " << logits[i];
    }
  }
}

TEST(Asymmetric, InfiniteLogitsHaveTheLimits) {
  const std::vector<double> logits = {-kInfinity, kInfinity};
  for (const double gamma : {0.5, 1.0, 4.0, 1e30, 1e300}) {
    const LossOptions plain = AsymmetricOptions(gamma, gamma);
    const LossCurve positive = CurveOfLoss<float>(plain, logits, 1);
    EXPECT_EQ(positive.losses, (std::vector<double>{kInfinity, 0})) << gamma;
    EXPECT_EQ(positive.gradient, (std::vector<double>{-1, 0})) << gamma;
    const LossCurve negative = CurveOfLoss<float>(plain, logits, 0);
    EXPECT_EQ(negative.losses, (std::vector<double>{0, kInfinity})) << gamma;
    EXPECT_EQ(negative.gradient, (std::vector<double>{0, 1})) << gamma;
  }
  // With a margin p_m ends at 1 - m: the limit is (3/4)^2 log 4.
  const LossOptions shifted = AsymmetricOptions(1, 2, 0.25);
  const LossCurve negative = CurveOfLoss<double>(shifted, logits, 0);
  EXPECT_EQ(negative.losses[0], 0);
  EXPECT_DOUBLE_EQ(negative.losses[1], 0.5625 * std::log(4.0));
  EXPECT_EQ(negative.gradient, (std::vector<double>{0, 0}));
  const LossCurve positive = CurveOfLoss<double>(shifted, logits, 1);
  EXPECT_EQ(positive.losses, (std::vector<double>{kInfinity, 0}));
  EXPECT_EQ(positive.gradient, (std::vector<double>{-1, 0}));
}

TEST(Asymmetric, BelowTheMarginLossAndGradientOfANegativeAreZero) {
  // s(0) is exactly 1/2: the kink of a margin of 1/2.
  const std::vector<double> logits = {-kInfinity, -1e30,  -104, -88, -3,
                                      -1e-3,      -1e-30, -0.0, 0};
  const std::vector<double> zeros(logits.size());
  for (const double gamma : {0.0, 0.25, 1.0, 4.0, 20.0}) {
    const auto wide =
        CurveOfLoss<float>(AsymmetricOptions(1, gamma, 0.5), logits, 0);
    EXPECT_EQ(wide.losses, zeros) << gamma;
    EXPECT_EQ(wide.gradient, zeros) << gamma;
    const auto narrow =
        CurveOfLoss<double>(AsymmetricOptions(1, gamma, 0.5), logits, 0);
    EXPECT_EQ(narrow.losses, zeros) << gamma;
    EXPECT_EQ(narrow.gradient, zeros) << gamma;
  }
}

// Just above the margin a gamma below 1 is a steep power of a small number.
TEST(Asymmetric, JustAboveTheMarginNothingIsInfinite) {
  std::vector<double> logits;
  float x = 0;
  for (int k = 0; k < 3000; ++k) {
    x = std::nextafter(x, 1.0f) * 1.01f;
    logits.push_back(x);
  }
  for (const double gamma : {0.0, 1e-30, 0.25, 0.5, 1.0}) {
    const auto curve =
        CurveOfLoss<float>(AsymmetricOptions(1, gamma, 0.5), logits, 0);
    for (size_t i = 0; i < logits.size(); ++i) {
      ASSERT_TRUE(std::isfinite(curve.losses[i])) << logits[i] << " " << gamma;
      ASSERT_TRUE(std::isfinite(curve.gradient[i]))
          << logits[i] << " " << gamma;
    }
  }
}

TEST(Asymmetric, ANanLogitGivesNans) {
  for (const double margin : {0.0, 0.05}) {
    for (const double target : {0.0, 0.5, 1.0}) {
      const LossCurve curve = CurveOfLoss<float>(
          AsymmetricOptions(1, 4, margin), {std::nan("")}, target);
      EXPECT_TRUE(std::isnan(curve.losses[0])) << margin << " " << target;
      EXPECT_TRUE(std::isnan(curve.gradient[0])) << margin << " " << target;
    }
  }
}

// The authors' code for hard targets: with xs_neg = min(1 - p + m, 1) and pt =
// p y + xs_neg (1 - y), the loss is -log(pt) (1 - pt)^gamma. The numbers are
// computed by hand, with gammas 4 (negative) and 1 (positive) and margin 0.05.
TEST(Asymmetric, HasTheValuesOfItsAuthorsFormula) {
  const LossOptions options = AsymmetricOptions(1, 4, 0.05);
  // s(2) = 0.880797077977882; 1 - s(2) + 0.05 = 0.169202922022118.
  EXPECT_NEAR(CurveOfLoss<double>(options, {2}, 0).losses[0],
              0.830797077977882 * 0.830797077977882 * 0.830797077977882 *
                  0.830797077977882 * 1.776656562324868,
              1e-14);
  // The loss is (1 - s(2)) (-log s(2)).
  EXPECT_NEAR(CurveOfLoss<double>(options, {2}, 1).losses[0],
              0.119202922022118 * 0.126928011042972, 1e-14);
  // s(0) = 1/2: the losses are 0.45^4 (-log 0.55) and 1/2 log 2.
  EXPECT_NEAR(CurveOfLoss<double>(options, {0}, 0).losses[0],
              0.04100625 * 0.597837000755620, 1e-15);
  EXPECT_NEAR(CurveOfLoss<double>(options, {0}, 1).losses[0],
              0.5 * 0.693147180559945, 1e-14);
  // s(-3) = 0.0474 is below the margin.
  EXPECT_EQ(CurveOfLoss<double>(options, {-3}, 0).losses[0], 0);
  std::vector<double> logits;
  for (int k = -120; k <= 120; ++k) logits.push_back(k / 8.0);
  for (const double y : {0.0, 1.0}) {
    const auto losses = CurveOfLoss<double>(options, logits, y).losses;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double p = 1 / (1 + std::exp(-logits[i]));
      const double xs_neg = std::min(1 - p + 0.05, 1.0);
      const double pt = p * y + xs_neg * (1 - y);
      EXPECT_NEAR(losses[i], -std::log(pt) * std::pow(1 - pt, y == 1 ? 1 : 4),
                  1e-13)
          << logits[i] << " " << y;
    }
  }
}

TEST(Asymmetric, TheLossFallsWithALogitOfAPositiveAndRisesWithOneOfANegative) {
  std::vector<double> logits;
  for (int k = -4000; k <= 4000; ++k) logits.push_back(k / 64.0);
  for (const double margin : {0.0, 0.05}) {
    const LossOptions options = AsymmetricOptions(1, 4, margin);
    const auto falls = CurveOfLoss<float>(options, logits, 1).losses;
    const auto rises = CurveOfLoss<float>(options, logits, 0).losses;
    for (size_t i = 1; i < logits.size(); ++i) {
      ASSERT_LE(falls[i], falls[i - 1]) << logits[i];
      // Near its end at 1 - m the loss is flat, except for a last bit.
      ASSERT_GE(rises[i] * (1 + 0x1p-21), rises[i - 1]) << logits[i];
    }
  }
}

}  // namespace
}  // namespace lossd::kernels
