// The results of a loss over many logits, one by one, and their distance from
// the reference.
#ifndef LOSSD_TESTS_KERNELS_LOSS_CURVE_H_
#define LOSSD_TESTS_KERNELS_LOSS_CURVE_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {

// Returns the distance of `got` from `exact` in units of the last place of T at
// `size`, which is finite and positive. A NaN is far from everything.
template <class T>
double UlpsOf(T got, long double exact, long double size) {
  int exponent = 0;
  std::frexp(size, &exponent);
  const int digits = std::numeric_limits<T>::digits;
  const long double unit =
      std::max(std::ldexp(1.0L, exponent - digits),
               static_cast<long double>(std::numeric_limits<T>::denorm_min()));
  const double ulps = static_cast<double>(
      std::fabs(static_cast<long double>(got) - exact) / unit);
  return std::isnan(ulps) ? 1e9 : ulps;
}

// Returns the distance in units of the last place of T at `exact`.
template <class T>
double Ulps(T got, long double exact) {
  if (std::isinf(exact) || exact == 0)
    return static_cast<long double>(got) == exact ? 0 : 1e9;
  return UlpsOf<T>(got, exact, std::fabs(exact));
}

struct LossCurve {
  std::vector<double> losses;
  std::vector<double> gradient;
  std::vector<double> second;
};

// Returns losses and both derivatives of logits of type T for one target,
// unreduced and unscaled. A `pos_weight` of 1 is not sent.
template <class T>
LossCurve CurveOfLoss(
    const LossOptions& options, const std::vector<double>& logits,
    double target, double pos_weight = 1,
    const cpu::InstructionSet& set = cpu::BestInstructionSet()) {
  const ElementType type =
      sizeof(T) == 4 ? ElementType::kFloat32 : ElementType::kFloat64;
  OwnedSegment owned(type, {logits.size()});
  owned.segment.options = options;
  owned.segment.options.reduction = Reduction::kNone;
  owned.SetLogits(logits);
  owned.SetTargets(type, std::vector<double>(logits.size(), target));
  if (pos_weight != 1) owned.SetPosWeight({pos_weight}, {0}, type);
  owned.WantLosses();
  owned.WantSecondDerivative();
  owned.Compute(set);
  return {owned.losses(), owned.gradient(), owned.second_derivative()};
}

// Returns logits of both signs: `count` bit patterns over every exponent,
// subnormals included, and three times as many where results are neither
// constants nor simple exponentials.
template <class T>
std::vector<double> LogitsOfEveryExponent(int count) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  std::vector<double> logits;
  const auto add = [&](T from, T to, int n) {
    const Bits first = std::bit_cast<Bits>(from);
    const Bits step = (std::bit_cast<Bits>(to) - first) / n;
    for (Bits k = 0; k < static_cast<Bits>(n); ++k) {
      logits.push_back(std::bit_cast<T>(static_cast<Bits>(first + step * k)));
      logits.push_back(-logits.back());
    }
  };
  add(0, std::numeric_limits<T>::infinity(), count);
  add(T(0.0625), sizeof(T) == 4 ? T(128) : T(1024), 3 * count);
  return logits;
}

struct WorstUlps {
  double loss = 0;
  double gradient = 0;
};

// The largest errors of a loss for a hard target.
template <class T>
WorstUlps WorstOverEveryExponent(const LossOptions& options, double target,
                                 int count) {
  const std::vector<double> logits = LogitsOfEveryExponent<T>(count);
  const LossCurve curve = CurveOfLoss<T>(options, logits, target);
  WorstUlps worst;
  for (size_t i = 0; i < logits.size(); ++i) {
    const reference::Element exact =
        reference::ElementOf(options, {logits[i], target, 1 - target});
    worst.loss =
        std::max(worst.loss, Ulps(static_cast<T>(curve.losses[i]), exact.loss));
    worst.gradient =
        std::max(worst.gradient,
                 Ulps(static_cast<T>(curve.gradient[i]), exact.derivative));
  }
  return worst;
}

inline LossOptions FocalOptions(double gamma, double alpha = -1) {
  LossOptions options;
  options.kind = LossKind::kSigmoidFocal;
  options.focal_gamma = gamma;
  if (alpha >= 0) options.focal_alpha = alpha;
  return options;
}

inline LossOptions PolyOptions(double epsilon, double gamma = 0,
                               double alpha = -1) {
  LossOptions options = FocalOptions(gamma, alpha);
  options.kind = LossKind::kPoly;
  options.poly_epsilon = epsilon;
  return options;
}

inline LossOptions QualityFocalOptions(double gamma) {
  LossOptions options = FocalOptions(gamma);
  options.kind = LossKind::kQualityFocal;
  return options;
}

inline LossOptions VarifocalOptions(double gamma, double alpha = -1) {
  LossOptions options = FocalOptions(gamma, alpha);
  options.kind = LossKind::kVarifocal;
  return options;
}

// Returns the options with soft targets mixed, not in the power.
inline LossOptions Mixed(LossOptions options) {
  options.mixes_soft_targets = true;
  return options;
}

// Returns the options with powers that are constants in derivatives.
inline LossOptions Detached(LossOptions options) {
  options.detaches_focus = true;
  return options;
}

inline LossOptions AsymmetricOptions(double positive, double negative,
                                     double margin = 0) {
  LossOptions options;
  options.kind = LossKind::kAsymmetric;
  options.asymmetric_gamma_positive = positive;
  options.asymmetric_gamma_negative = negative;
  options.asymmetric_margin = margin;
  return options;
}

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_LOSS_CURVE_H_
