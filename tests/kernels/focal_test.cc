// The focal loss against the reference, against the formula of its peers, and
// in the tails.
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
constexpr double kGammas[] = {0, 0.25, 0.5, 1, 2, 2.5, 5, 20};

template <class T>
class FocalOf : public testing::Test {};
using ArithmeticTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(FocalOf, ArithmeticTypes);

// Gamma multiplies an error in the exponent of a power.
struct Bound {
  double loss;
  double gradient;
};
Bound BoundOf(double gamma) {
  return gamma <= 5 ? Bound{1.25, 4} : Bound{4, 6};
}

template <class T>
void ExpectAccurate(double alpha, int count) {
  for (const double gamma : kGammas) {
    const LossOptions options = FocalOptions(gamma, alpha);
    for (const double target : {0.0, 1.0}) {
      const auto worst = WorstOverEveryExponent<T>(options, target, count);
      std::printf("gamma %g, alpha %g, t = %g: loss %.2f, gradient %.2f ulp\n",
                  gamma, alpha, target, worst.loss, worst.gradient);
      EXPECT_LE(worst.loss, BoundOf(gamma).loss) << gamma << " " << alpha;
      EXPECT_LE(worst.gradient, BoundOf(gamma).gradient)
          << gamma << " " << alpha;
    }
  }
}

// An alpha of -1 is absent.
TYPED_TEST(FocalOf, AHardTargetIsWithinFourUlps) {
  const int count = sizeof(TypeParam) == 4 ? 4000 : 1500;
  for (const double alpha : {-1.0, 0.25, 0.75}) {
    ExpectAccurate<TypeParam>(alpha, count);
  }
}

// A float32 does not hold this gamma exactly. The rest counts, too.
TEST(Focal, AGammaThatNoFloat32HoldsIsTakenAsItIs) {
  for (const double gamma : {0.1, 1.7, 3.3}) {
    const auto worst =
        WorstOverEveryExponent<float>(FocalOptions(gamma), 1, 4000);
    EXPECT_LE(worst.loss, 1.25) << gamma;
    EXPECT_LE(worst.gradient, 4) << gamma;
  }
}

// 1 - t is rounded, and so is 1 - p_t; gamma multiplies their errors. The
// derivative has terms of both signs: its error is relative to their sum
// without signs.
TYPED_TEST(FocalOf, ASoftTargetErrsByAFewUlpsOfTheLargerTerm) {
  using T = TypeParam;
  const std::vector<double> logits = LogitsOfEveryExponent<T>(1000);
  for (const double gamma : kGammas) {
    for (const double target : {1e-10, 0.1, 0.5, 0.7, 0.999}) {
      const double t = static_cast<T>(target);
      const LossOptions options = FocalOptions(gamma, 0.25);
      const LossCurve curve = CurveOfLoss<T>(options, logits, t);
      const double ulps = 4 + 3 * gamma;
      for (size_t i = 0; i < logits.size(); ++i) {
        const long double x = logits[i];
        const auto exact = reference::ElementOf(options, {x, t, 1.0L - t});
        ASSERT_LE(Ulps(static_cast<T>(curve.losses[i]), exact.loss), ulps)
            << gamma << " " << t << " " << logits[i];
        // alpha_t (1 - p_t)^gamma ((1 - t) s(x) + t s(-x) + gamma CE).
        const auto entropy = reference::SigmoidCrossEntropy(x, t, 1, 1);
        const long double power = exact.loss / entropy.loss;
        const auto terms = static_cast<double>(
            power * (1 + gamma * std::fmin(entropy.loss, 100)));
        ASSERT_LE(std::fabs(curve.gradient[i] -
                            static_cast<double>(exact.derivative)),
                  ulps * std::numeric_limits<T>::epsilon() * terms +
                      std::numeric_limits<T>::denorm_min())
            << gamma << " " << t << " " << logits[i];
      }
    }
  }
}

TEST(Focal, GammaZeroWithoutAlphaHasTheBitsOfTheCrossEntropy) {
  const std::vector<double> logits = LogitsOfEveryExponent<float>(2000);
  for (const double t : {0.0, 0.3, 1.0}) {
    const LossCurve focal = CurveOfLoss<float>(FocalOptions(0), logits, t);
    const LossCurve entropy = CurveOfLoss<float>(LossOptions(), logits, t);
    EXPECT_EQ(focal.losses, entropy.losses) << t;
    EXPECT_EQ(focal.gradient, entropy.gradient) << t;
  }
}

// The smallest gamma takes the path of powers and gives the same results.
TEST(Focal, ATinyGammaIsTheCrossEntropyWithinTwoUlps) {
  const std::vector<double> logits = LogitsOfEveryExponent<float>(2000);
  for (const double t : {0.0, 1.0}) {
    const LossCurve focal = CurveOfLoss<float>(FocalOptions(1e-30), logits, t);
    for (size_t i = 0; i < logits.size(); ++i) {
      const auto exact = reference::SigmoidCrossEntropy(logits[i], t, 1, 1);
      ASSERT_LE(Ulps(static_cast<float>(focal.losses[i]), exact.loss), 1.25);
      ASSERT_LE(Ulps(static_cast<float>(focal.gradient[i]), exact.derivative),
                2.5);
    }
  }
}

TYPED_TEST(FocalOf, IsMirroredBitForBit) {
  using T = TypeParam;
  std::vector<double> logits = LogitsOfEveryExponent<T>(1000);
  logits.insert(logits.end(), {kInfinity, -kInfinity});
  std::vector<double> mirrored = logits;
  for (double& x : mirrored) x = -x;
  for (const double gamma : {0.5, 2.0, 20.0}) {
    for (const double target : {0.0, 0.25, 0.5, 1.0}) {
      const auto one =
          CurveOfLoss<T>(FocalOptions(gamma, 0.25), logits, target);
      const auto other =
          CurveOfLoss<T>(FocalOptions(gamma, 0.75), mirrored, 1 - target);
      EXPECT_EQ(one.losses, other.losses) << gamma << " " << target;
      for (size_t i = 0; i < logits.size(); ++i) {
        ASSERT_EQ(std::bit_cast<uint64_t>(one.gradient[i]),
                  std::bit_cast<uint64_t>(-other.gradient[i]))
            << gamma << " " << target << " " << logits[i];
      }
    }
  }
}

TEST(Focal, InfiniteLogitsHaveTheLimits) {
  const std::vector<double> logits = {-kInfinity, kInfinity};
  for (const double gamma : {1e-30, 0.5, 1.0, 2.0, 20.0, 1e30, 1e300}) {
    const LossOptions options = FocalOptions(gamma, 0.25);
    const LossCurve positive = CurveOfLoss<float>(options, logits, 1);
    EXPECT_EQ(positive.losses, (std::vector<double>{kInfinity, 0})) << gamma;
    EXPECT_EQ(positive.gradient, (std::vector<double>{-0.25, 0})) << gamma;
    const LossCurve negative = CurveOfLoss<float>(options, logits, 0);
    EXPECT_EQ(negative.losses, (std::vector<double>{0, kInfinity})) << gamma;
    EXPECT_EQ(negative.gradient, (std::vector<double>{0, 0.75})) << gamma;
  }
  // An alpha of 0 removes even an infinite loss.
  const LossCurve off = CurveOfLoss<float>(FocalOptions(2, 0), logits, 1);
  EXPECT_EQ(off.losses, (std::vector<double>{0, 0}));
  EXPECT_EQ(off.gradient, (std::vector<double>{0, 0}));
  // For a soft target the power tends to 1/4, not to 0.
  const LossCurve soft = CurveOfLoss<float>(FocalOptions(2), logits, 0.5);
  EXPECT_EQ(soft.losses, (std::vector<double>{kInfinity, kInfinity}));
  EXPECT_EQ(soft.gradient, (std::vector<double>{-0.125, 0.125}));
}

TEST(Focal, TheTailsHaveTheValuesThatMathematicsGivesThem) {
  const std::vector<double> logits = {-3e38, -1e4, -104, -88,
                                      88,    104,  1e4,  3e38};
  for (const double gamma : {0.001, 0.25, 0.5, 0.999, 1.0, 2.0, 5.0, 1e30}) {
    for (const double target : {0.0, 1.0}) {
      const LossOptions options = FocalOptions(gamma);
      const LossCurve curve = CurveOfLoss<float>(options, logits, target);
      for (size_t i = 0; i < logits.size(); ++i) {
        const auto exact = reference::ElementOf(
            options, {static_cast<float>(logits[i]), target, 1 - target});
        EXPECT_LE(Ulps(static_cast<float>(curve.losses[i]), exact.loss), 1.5)
            << gamma << " " << logits[i];
        EXPECT_LE(Ulps(static_cast<float>(curve.gradient[i]), exact.derivative),
                  3.5)
            << gamma << " " << logits[i];
      }
    }
  }
}

TEST(Focal, ANanLogitGivesNans) {
  const LossCurve curve =
      CurveOfLoss<float>(FocalOptions(2, 0.25), {std::nan("")}, 1);
  EXPECT_TRUE(std::isnan(curve.losses[0]));
  EXPECT_TRUE(std::isnan(curve.gradient[0]));
}

// torchvision's tests check the ratio of focal loss and cross-entropy, and that
// the focal loss is never the larger one.
TEST(Focal, TheRatioToTheCrossEntropyIsTheModulatingFactor) {
  const std::vector<double> logits = LogitsOfEveryExponent<double>(300);
  for (const double gamma : {0.0, 1.0, 2.0, 3.0}) {
    for (const double alpha : {-1.0, 0.25, 0.58, 1.0}) {
      for (const double t : {0.0, 1.0}) {
        const auto focal =
            CurveOfLoss<double>(FocalOptions(gamma, alpha), logits, t).losses;
        const auto entropy =
            CurveOfLoss<double>(LossOptions(), logits, t).losses;
        const double alpha_t = alpha < 0 ? 1 : t == 1 ? alpha : 1 - alpha;
        for (size_t i = 0; i < logits.size(); ++i) {
          if (std::fabs(logits[i]) > 30) continue;
          const double p = 1 / (1 + std::exp(-logits[i]));
          const double p_t = t == 1 ? p : 1 - p;
          EXPECT_NEAR(focal[i], alpha_t * std::pow(1 - p_t, gamma) * entropy[i],
                      1e-12 * (1 + std::fabs(logits[i])));
          EXPECT_LE(focal[i], entropy[i] * (1 + 1e-15));
        }
      }
    }
  }
}

// A logit that agrees more with the target has the smaller loss.
TEST(Focal, TheLossFallsWithALogitOfAPositive) {
  std::vector<double> logits;
  for (int k = -4000; k <= 4000; ++k) logits.push_back(k / 64.0);
  for (const double gamma : {0.25, 2.0, 5.0}) {
    const auto losses =
        CurveOfLoss<float>(FocalOptions(gamma, 0.25), logits, 1).losses;
    for (size_t i = 1; i < losses.size(); ++i) {
      ASSERT_LE(losses[i], losses[i - 1]) << logits[i] << " " << gamma;
    }
  }
}

}  // namespace
}  // namespace lossd::kernels
