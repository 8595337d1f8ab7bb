// Every derivative is the slope of its loss, and every second derivative that
// of the first, for every loss and option: the reference's derivatives in long
// double, and the kernel's over whole segments.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/loss_curve.h"

namespace lossd::kernels {
namespace {

// Every loss, with parameters that reach every formula.
std::vector<LossOptions> EveryLoss() {
  std::vector<LossOptions> losses = {LossOptions()};
  for (const double gamma : {0.0, 0.5, 1.0, 2.0, 5.0}) {
    losses.push_back(FocalOptions(gamma));
    losses.push_back(FocalOptions(gamma, 0.25));
    losses.push_back(AsymmetricOptions(gamma, 1 + gamma));
    losses.push_back(AsymmetricOptions(1 + gamma, gamma, 0.05));
    losses.push_back(Mixed(FocalOptions(gamma, 0.25)));
    losses.push_back(PolyOptions(2, gamma, 0.25));
    losses.push_back(PolyOptions(-0.5, gamma));
    losses.push_back(Mixed(PolyOptions(2, gamma, 0.25)));
    losses.push_back(VarifocalOptions(gamma, 0.6));
    losses.push_back(QualityFocalOptions(gamma + 2));
  }
  losses.push_back(AsymmetricOptions(0, 0));
  losses.push_back(AsymmetricOptions(0, 0, 0.3));
  return losses;
}

std::string Describe(const LossOptions& o) {
  return std::string(Name(o.kind)) + " gamma " + std::to_string(o.focal_gamma) +
         ", gammas " + std::to_string(o.asymmetric_gamma_positive) + " and " +
         std::to_string(o.asymmetric_gamma_negative) + ", margin " +
         std::to_string(o.asymmetric_margin) + ", epsilon " +
         std::to_string(o.poly_epsilon) +
         (o.mixes_soft_targets ? ", mixed" : "");
}

// Returns true if a margin's kink lies between the two.
bool CrossesKink(const LossOptions& options, long double below,
                 long double above) {
  if (options.asymmetric_margin == 0) return false;
  const long double kink = std::log(options.asymmetric_margin) -
                           std::log1p(-options.asymmetric_margin);
  return below <= kink && kink <= above;
}

// Returns true if the quality focal loss bends too much between the two for
// differences: p is near t.
bool IsNearTarget(const LossOptions& options, long double x, long double t) {
  const long double p = 1 / (1 + std::exp(-x));
  return options.kind == LossKind::kQualityFocal && std::fabs(p - t) < 0.05L;
}

TEST(Differences, TheDerivativeOfTheReferenceIsTheSlopeOfItsLoss) {
  constexpr long double kStep = 1e-5L;
  for (const LossOptions& options : EveryLoss()) {
    for (const long double t : {0.0L, 0.1L, 0.5L, 0.9L, 1.0L}) {
      for (const long double q : {1.0L, 3.0L}) {
        for (long double x = -30; x <= 30; x += 0.37L) {
          const auto at = [&](long double logit) {
            return reference::ElementOf(options, {logit, t, 1 - t, q}, 0.75L);
          };
          if (CrossesKink(options, x - kStep, x + kStep)) continue;
          if (t != 0 && t != 1 && IsNearTarget(options, x, t)) continue;
          const long double slope =
              (at(x + kStep).loss - at(x - kStep).loss) / (2 * kStep);
          const auto element = at(x);
          // The third derivative is at most about the loss's own size.
          const long double size =
              std::fmin(1, std::fabs(element.loss)) + 1e-30L;
          EXPECT_NEAR(
              static_cast<double>(element.derivative),
              static_cast<double>(slope),
              1e-8 * static_cast<double>(std::fabs(element.derivative) + size))
              << Describe(options) << ", t = " << t << ", q = " << q
              << ", x = " << x;
          const long double bend =
              (at(x + kStep).derivative - at(x - kStep).derivative) /
              (2 * kStep);
          EXPECT_NEAR(
              static_cast<double>(element.second), static_cast<double>(bend),
              1e-8 * static_cast<double>(std::fabs(element.second) +
                                         std::fabs(element.derivative) + size))
              << Describe(options) << ", t = " << t << ", q = " << q
              << ", x = " << x;
        }
      }
    }
  }
}

// The reduction and the operands around a loss.
struct Surroundings {
  Reduction reduction = Reduction::kSum;
  Normalizer normalizer = Normalizer::kElements;
  bool weights = false;
  bool pos_weight = false;
  bool ignore = false;
  double smoothing = 0;
  double loss_weight = 1;
  double upstream = 1;
};

std::vector<Surroundings> EverySurroundings() {
  std::vector<Surroundings> all = {
      {},
      {.weights = true},
      {.pos_weight = true},
      {.ignore = true},
      {.smoothing = 0.1},
      {.reduction = Reduction::kNone, .weights = true, .upstream = 0.3},
      {.weights = true,
       .pos_weight = true,
       .ignore = true,
       .smoothing = 0.2,
       .loss_weight = 3.7,
       .upstream = 0.3}};
  for (int k = 0; k < 6; ++k) {
    all.push_back({.reduction = Reduction::kMean,
                   .normalizer = static_cast<Normalizer>(k),
                   .weights = true,
                   .ignore = true,
                   .loss_weight = 2.5});
  }
  return all;
}

constexpr size_t kElements = 60;

void Fill(OwnedSegment& owned, const Surroundings& s) {
  LossOptions& options = owned.segment.options;
  options.reduction = s.reduction;
  options.normalizer = s.normalizer;
  options.normalizer_value = 7.5;
  options.label_smoothing = s.smoothing;
  options.loss_weight = s.loss_weight;
  if (s.ignore) options.ignore_target = 0.25;
  owned.segment.upstream_scalar = s.upstream;
  std::vector<double> targets, weights, pos_weight;
  constexpr double kTargets[] = {0, 1, 0.25, 0.7};
  for (size_t i = 0; i < kElements; ++i) {
    targets.push_back(kTargets[i % 4]);
    weights.push_back(i % 7 == 0 ? 0 : 0.25 * static_cast<double>(i % 5 + 1));
    pos_weight.push_back(0.5 * static_cast<double>(i % 3 + 1));
  }
  owned.SetTargets(ElementType::kFloat64, targets);
  if (s.weights) owned.SetWeights(weights, {1}, ElementType::kFloat64);
  if (s.pos_weight) owned.SetPosWeight(pos_weight, {1}, ElementType::kFloat64);
  if (s.reduction == Reduction::kNone) owned.WantLosses();
}

// Returns the loss whose gradient is computed: the reduced loss, or the sum of
// the unreduced losses, times the upstream gradient.
double Objective(OwnedSegment& owned) {
  const SegmentAnswer answer = owned.Compute(cpu::BestInstructionSet());
  if (owned.segment.options.reduction != Reduction::kNone) {
    return answer.loss * owned.segment.upstream_scalar;
  }
  double sum = 0;
  for (const double loss : owned.losses()) sum += loss;
  return sum * owned.segment.upstream_scalar;
}

// Returns the gradient with one logit moved by `step`.
double GradientAt(OwnedSegment& owned, std::vector<double> logits, size_t i,
                  double step) {
  logits[i] += step;
  owned.SetLogits(logits);
  owned.Compute(cpu::BestInstructionSet());
  return owned.gradient()[i];
}

// Calls visit(owned, logits) with a segment of these drawn logits for every
// loss and its surroundings.
template <class Visit>
void ForEveryOption(unsigned seed, Visit visit) {
  std::mt19937 random(seed);
  std::normal_distribution<double> logit(0, 3);
  std::vector<double> logits(kElements);
  for (double& x : logits) x = logit(random);
  for (const LossOptions& loss : EveryLoss()) {
    for (const Surroundings& surroundings : EverySurroundings()) {
      OwnedSegment owned(ElementType::kFloat64, {kElements});
      owned.segment.options = loss;
      Fill(owned, surroundings);
      visit(owned, logits);
    }
  }
}

constexpr double kStep = 1e-4;

bool CrossesKinkNear(const OwnedSegment& owned, double x) {
  return CrossesKink(owned.segment.options, x - kStep, x + kStep);
}

TEST(Differences, TheSecondDerivativeOfTheKernelIsTheSlopeOfItsGradient) {
  ForEveryOption(7, [](OwnedSegment& owned, const std::vector<double>& logits) {
    owned.WantSecondDerivative();
    owned.SetLogits(logits);
    owned.Compute(cpu::BestInstructionSet());
    const std::vector<double> second = owned.second_derivative();
    for (size_t i = 0; i < kElements; i += 3) {
      if (CrossesKinkNear(owned, logits[i])) continue;
      const double slope = (GradientAt(owned, logits, i, kStep) -
                            GradientAt(owned, logits, i, -kStep)) /
                           (2 * kStep);
      ASSERT_NEAR(second[i], slope, 2e-6)
          << Describe(owned.segment.options) << " " << i;
    }
  });
}

TEST(Differences, TheGradientOfTheKernelIsTheSlopeOfItsLossForEveryOption) {
  ForEveryOption(5, [](OwnedSegment& owned, const std::vector<double>& logits) {
    owned.SetLogits(logits);
    Objective(owned);
    const std::vector<double> gradient = owned.gradient();
    for (size_t i = 0; i < kElements; ++i) {
      if (CrossesKinkNear(owned, logits[i])) continue;
      std::vector<double> moved = logits;
      moved[i] += kStep;
      owned.SetLogits(moved);
      const double above = Objective(owned);
      moved[i] = logits[i] - kStep;
      owned.SetLogits(moved);
      const double slope = (above - Objective(owned)) / (2 * kStep);
      ASSERT_NEAR(gradient[i], slope, 3e-7)
          << Describe(owned.segment.options) << " " << i;
    }
  });
}

}  // namespace
}  // namespace lossd::kernels
