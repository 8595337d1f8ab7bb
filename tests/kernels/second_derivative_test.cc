// The second derivative: its accuracy, its tails and its symmetry, and that
// asking for it changes no other bit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/reference/jet.h"
#include "tests/kernels/loss_curve.h"
#include "tests/kernels/random_segment.h"
#include "tests/kernels/second_derivative_size.h"

namespace lossd::kernels {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
double WorstOfCrossEntropy(double target, double pos_weight, int count) {
  const std::vector<double> logits = LogitsOfEveryExponent<T>(count);
  const LossCurve curve = CurveOfLoss<T>({}, logits, target, pos_weight);
  double worst = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto exact =
        reference::SigmoidCrossEntropy(logits[i], target, pos_weight, 1);
    worst =
        std::max(worst, Ulps(static_cast<T>(curve.second[i]), exact.second));
  }
  return worst;
}

TEST(SecondDerivative, OfTheCrossEntropyIsWithinTwoUlps) {
  for (const double target : {0.0, 1.0, 0.3}) {
    const double narrow = WorstOfCrossEntropy<float>(target, 1, 100000);
    const double wide = WorstOfCrossEntropy<double>(target, 1, 100000);
    std::printf("t = %g: float32 %.3f ulp, float64 %.3f ulp\n", target, narrow,
                wide);
    EXPECT_LT(narrow, 2) << target;
    EXPECT_LT(wide, 2) << target;
  }
}

TEST(SecondDerivative, IsRightWherePeersHaveLostIt) {
  const LossCurve curve = CurveOfLoss<float>({}, {-20, 20, -88, 100, -104}, 1);
  EXPECT_FLOAT_EQ(static_cast<float>(curve.second[0]), 2.0611537e-9f);
  EXPECT_FLOAT_EQ(static_cast<float>(curve.second[1]), 2.0611537e-9f);
  EXPECT_NEAR(curve.second[2], std::exp(-88.0), 0x1p-149);
  EXPECT_NEAR(curve.second[3], std::exp(-100.0), 0x1p-149);
  EXPECT_NEAR(curve.second[4], std::exp(-104.0), 0x1p-149);
}

// With a positive weight it is w p (1 - p) (t q + 1 - t).
TEST(SecondDerivative, OfAWeightedElementIsTheFormula) {
  OwnedSegment owned(ElementType::kFloat64, {3});
  owned.SetLogits({-1, 0, 2});
  owned.SetTargets(ElementType::kFloat64, {1, 0.25, 0});
  owned.SetWeights({2, 4, 0.5}, {1}, ElementType::kFloat64);
  owned.SetPosWeight({3}, {0}, ElementType::kFloat64);
  owned.segment.options.reduction = Reduction::kMean;
  owned.segment.options.loss_weight = 6;
  owned.segment.upstream_scalar = 0.5;
  owned.WantSecondDerivative();
  owned.Compute(cpu::BestInstructionSet());
  const auto curve = [](double x) {
    const double p = 1 / (1 + std::exp(-x));
    return p * (1 - p);
  };
  const std::vector<double> second = owned.second_derivative();
  EXPECT_NEAR(second[0], 2 * curve(-1) * 3, 1e-15);
  EXPECT_NEAR(second[1], 4 * curve(0) * 1.5, 1e-15);
  EXPECT_NEAR(second[2], 0.5 * curve(2), 1e-15);
}

std::vector<LossOptions> LossesWithPowers() {
  std::vector<LossOptions> losses;
  for (const double gamma : {0.25, 1.0, 2.0, 5.0}) {
    losses.push_back(FocalOptions(gamma));
    losses.push_back(FocalOptions(gamma, 0.25));
    losses.push_back(Mixed(FocalOptions(gamma, 0.25)));
    losses.push_back(AsymmetricOptions(gamma, 1 + gamma));
    losses.push_back(AsymmetricOptions(gamma, gamma, 0.05));
    losses.push_back(PolyOptions(2, gamma));
    losses.push_back(Mixed(PolyOptions(2, gamma, 0.25)));
    losses.push_back(QualityFocalOptions(gamma));
    losses.push_back(VarifocalOptions(gamma));
    losses.push_back(Detached(FocalOptions(gamma)));
    losses.push_back(Detached(AsymmetricOptions(gamma, 4, 0.05)));
  }
  return losses;
}

// Returns the largest error in units of the sum of the terms' sizes, divided by
// what is expected there: a few ulps and, as in asymmetric_test.cc, the effect
// of the digits that p - m has lost near the margin.
template <class T>
double WorstOfPowers(const LossOptions& options, double target, int count) {
  const std::vector<double> logits = LogitsOfEveryExponent<T>(count);
  const LossCurve curve = CurveOfLoss<T>(options, logits, target);
  const double margin = target == 0 ? options.asymmetric_margin : 0;
  const double gamma = options.asymmetric_gamma_negative;
  double worst = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const long double x = logits[i];
    const auto exact = reference::ElementOf(options, {x, target, 1 - target});
    const long double size = SecondDerivativeSize(options, x, target == 1);
    const double ulps = UlpsOf<T>(static_cast<T>(curve.second[i]), exact.second,
                                  std::max(size, 1e-4000L));
    double bound = 7;
    if (margin > 0) {
      const long double p = reference::Sigmoid(x);
      const auto condition = static_cast<double>(p / std::fabs(p - margin));
      bound += 3 * gamma + (1 + gamma) * condition / 4;
      // z has few digits where it is subnormal, and is divided by the margin.
      if (std::fabs(logits[i]) > (sizeof(T) == 4 ? 87 : 708))
        bound += 1 / margin;
    }
    worst = std::max(worst, ulps / bound);
  }
  return worst;
}

TEST(SecondDerivative, OfEveryLossIsRightInBothTails) {
  for (const LossOptions& options : LossesWithPowers()) {
    for (const double target : {0.0, 1.0}) {
      EXPECT_LT(WorstOfPowers<float>(options, target, 3000), 1)
          << Name(options.kind) << " " << options.focal_gamma << " " << target;
      EXPECT_LT(WorstOfPowers<double>(options, target, 3000), 1)
          << Name(options.kind) << " " << options.focal_gamma << " " << target;
    }
  }
}

TEST(SecondDerivative, IsTheSameForTheMirroredElement) {
  const std::vector<double> logits = LogitsOfEveryExponent<float>(3000);
  std::vector<double> mirrored;
  mirrored.reserve(logits.size());
  for (const double x : logits) mirrored.push_back(-x);
  for (const LossOptions& options :
       {LossOptions(), FocalOptions(2), Mixed(PolyOptions(1, 2)),
        PolyOptions(1, 2), AsymmetricOptions(3, 3), QualityFocalOptions(2)}) {
    for (const double t : {0.0, 0.25, 1.0}) {
      const LossCurve at = CurveOfLoss<float>(options, logits, t);
      const LossCurve other = CurveOfLoss<float>(options, mirrored, 1 - t);
      ASSERT_EQ(at.second, other.second) << Name(options.kind) << " " << t;
    }
  }
}

TEST(SecondDerivative, OfAnInfiniteLogitIsZeroAndOfANanANan) {
  std::vector<LossOptions> losses = LossesWithPowers();
  losses.push_back({});
  for (const LossOptions& options : losses) {
    for (const double target : {0.0, 0.5, 1.0}) {
      const std::vector<double> logits = {kInfinity, -kInfinity, 1e30, -1e30,
                                          std::nan("")};
      const LossCurve narrow = CurveOfLoss<float>(options, logits, target);
      const LossCurve wide = CurveOfLoss<double>(options, logits, target);
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(narrow.second[i], 0) << Name(options.kind) << " " << i;
        EXPECT_EQ(wide.second[i], 0) << Name(options.kind) << " " << i;
      }
      EXPECT_TRUE(std::isnan(narrow.second[4])) << Name(options.kind);
    }
  }
}

// A detached power is a constant: the derivatives are its product with those of
// the cross-entropy.
TEST(SecondDerivative, OfADetachedFocalLossIsThePowerTimesTheEntropys) {
  const std::vector<double> logits = {-3, -0.5, 0, 0.25, 4};
  const LossCurve focal =
      CurveOfLoss<double>(Detached(FocalOptions(2)), logits, 1);
  const LossCurve entropy = CurveOfLoss<double>({}, logits, 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double miss = 1 / (1 + std::exp(logits[i]));
    EXPECT_NEAR(focal.losses[i], miss * miss * entropy.losses[i], 1e-14);
    EXPECT_NEAR(focal.gradient[i], miss * miss * entropy.gradient[i], 1e-14);
    EXPECT_NEAR(focal.second[i], miss * miss * entropy.second[i], 1e-14);
  }
}

TEST(SecondDerivative, ChangesNoOtherBit) {
  int compared = 0;
  for (unsigned seed = 0; seed < 700; ++seed) {
    const auto owned = RandomSegment(seed);
    if (owned->segment.second_derivative != nullptr) continue;
    ++compared;
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      const SegmentAnswer without = owned->Compute(set);
      owned->WantSecondDerivative();
      SegmentAnswer with = owned->Compute(set);
      owned->segment.second_derivative = nullptr;
      with.second_derivative = without.second_derivative;
      ASSERT_EQ(Difference(with, without), "") << set.name << " " << seed;
    }
  }
  EXPECT_GT(compared, 300);
}

}  // namespace
}  // namespace lossd::kernels
