// The sigmoid cross-entropy of one float32 element in plain C++: the element
// functions with the scalar policy, unrolled. kernels/element/README.md shows
// it, and element_walk_test.cc holds it to the kernel's bits.
#ifndef LOSSD_TESTS_KERNELS_ELEMENT_WALK_H_
#define LOSSD_TESTS_KERNELS_ELEMENT_WALK_H_

#include <cmath>
#include <cstddef>

#include "kernels/element/polynomials.h"

namespace lossd::kernels {

using P = Polynomials<float>;

// Horner's scheme: one fused multiply-add for each term.
template <size_t n>
float Horner(const float (&terms)[n], float x) {
  float sum = terms[0];
  for (size_t k = 1; k < n; ++k) sum = std::fma(sum, x, terms[k]);
  return sum;
}

struct LossAndGradient {
  float loss, gradient;
};

// The loss of a finite logit x and a target t in [0, 1].
inline LossAndGradient Walk(float x, float t) {
  const float y = std::fabs(x);
  const bool negative = std::signbit(x);
  const float a = negative ? t : 1 - t;  // the wrong weight

  // 1. z = e^-y = 2^n e^-s with |s| <= ln(2)/2, and what its rounding lost.
  // Adding 1.5 * 2^23 rounds -y/ln(2) to the integer n.
  const float clamped = y > 110 ? 110 : y;
  const float shift = 0x1.8p23f;
  const float n = std::fma(-clamped, 0x1.715476p+0f, shift) - shift;
  float s = std::fma(n, 0x1.62e4p-1f, clamped);  // ln(2) in two parts
  s = std::fma(n, 0x1.7f7d1cp-20f, s);
  const float p = std::fma(-(s * s), Horner(P::ExpOfMinus::kTerms, s), s);
  const float sum = 1 - p;
  const float lost = (1 - sum) - p;
  const float z = std::ldexp(sum, static_cast<int>(n));
  const float z_low = std::ldexp(lost, static_cast<int>(n));

  // 2. The tail, y >= 1: log1p(z), and z / (1 + z) without a division. r is
  // short of digits, but the fused residual of q = z r puts q right.
  const float r = Horner(P::Reciprocal::kTerms, z);
  const float log1p =
      z + std::fma(z * z, Horner(P::Log1p::kTerms, z), z_low * r);
  const float q = z * r;
  const float residual = std::fma(-q, z, z - q) + z_low;
  const float sigmoid = std::fma(residual, r, q);
  const float tail_loss = std::fma(a, y, log1p);
  const float tail_slope = sigmoid - a;

  // 3. Near zero, y < 1: each bracket is rounded once.
  const float square = y * y;
  const float loss_bracket =
      std::fma(square, Horner(P::CenterLoss::kTerms, square), (a - 0.5f) * y);
  const float slope_bracket =
      std::fma(y * square, Horner(P::CenterSlope::kTerms, square), y * -0.25f);
  const float near_loss = 0x1.62e43p-1f + loss_bracket;
  const float near_slope = slope_bracket - (a - 0.5f);

  // 4. A vector has elements of both kinds: both are computed, one is chosen.
  const float slope = y < 1 ? near_slope : tail_slope;
  return {y < 1 ? near_loss : tail_loss, negative ? slope : -slope};
}

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_ELEMENT_WALK_H_
