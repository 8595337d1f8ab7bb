// How large the terms of a second derivative are. They have both signs: where
// they cancel, its own size is no unit for its error, and their sum is.
#ifndef LOSSD_TESTS_KERNELS_SECOND_DERIVATIVE_SIZE_H_
#define LOSSD_TESTS_KERNELS_SECOND_DERIVATIVE_SIZE_H_

#include <cmath>

#include "kernels/reference/jet.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels {

// A number with its first derivative, and the sum of the sizes of the terms of
// its second derivative.
struct SizedJet {
  reference::Jet jet;
  long double second_size;
};

// Returns -log(1 - p_m) with p_m = s(x) - margin, which is positive.
inline SizedJet NegativeEntropy(long double x, long double margin) {
  const reference::Jet entropy = reference::SoftplusOf(x);
  if (margin == 0) return {entropy, entropy.second};
  const reference::Jet rest = reference::SigmoidOfMinus(x);
  const long double v = rest.value + margin;
  const reference::Jet minus_log = -reference::Log(
      {v, rest.first, rest.second}, std::log1p(margin - reference::Sigmoid(x)));
  const long double slope = rest.first / v;
  return {minus_log, std::fabs(rest.second / v) + slope * slope};
}

// Returns the sum of the sizes of the terms of (base^exponent entropy)''. With
// `is_constant` the power is a constant.
inline long double SizeOfProduct(const reference::Jet& base,
                                 long double exponent, bool is_constant,
                                 const SizedJet& entropy) {
  const long double power = std::pow(base.value, exponent);
  if (is_constant) return power * entropy.second_size;
  const long double first = exponent * base.first / base.value;
  const long double second = first * first +
                             std::fabs(exponent * base.second / base.value) +
                             std::fabs(first * base.first / base.value);
  return power *
         (second * std::fabs(entropy.jet.value) +
          2 * std::fabs(first * entropy.jet.first) + entropy.second_size);
}

// Returns the sum of the sizes of the terms of a loss's second derivative for
// the target 1 or 0.
inline long double SecondDerivativeSize(const LossOptions& options,
                                        long double x, bool is_positive) {
  using namespace reference;
  const LossParameters loss = ParametersOf(options);
  Jet base = is_positive ? SigmoidOfMinus(x) : SigmoidOf(x);
  if (!is_positive) base.value -= loss.margin;
  if (base.value <= 0) return 0;
  const Jet positive = SoftplusOfMinus(x);
  const SizedJet entropy = is_positive ? SizedJet{positive, positive.second}
                                       : NegativeEntropy(x, loss.margin);
  const double alpha = is_positive ? loss.alpha_positive : loss.alpha_negative;
  const double gamma = is_positive ? loss.gamma_positive : loss.gamma_negative;
  const double slope = is_positive ? loss.slope_positive : loss.slope_negative;
  return alpha * SizeOfProduct(base, gamma, slope != gamma, entropy) +
         std::fabs(loss.epsilon) *
             SizeOfProduct(base, gamma + 1, false, {Jet{1, 0, 0}, 0});
}

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_SECOND_DERIVATIVE_SIZE_H_
