// Numbers with their first two derivatives by the logit, for the reference: a
// loss is written down once, from its definition, and its derivatives follow
// by the rules of calculus.
#ifndef LOSSD_KERNELS_REFERENCE_JET_H_
#define LOSSD_KERNELS_REFERENCE_JET_H_

#include <cmath>

namespace lossd::kernels::reference {

struct Jet {
  long double value = 0;
  long double first = 0;
  long double second = 0;
};

inline Jet operator+(const Jet& a, const Jet& b) {
  return {a.value + b.value, a.first + b.first, a.second + b.second};
}

inline Jet operator*(const Jet& a, const Jet& b) {
  return {a.value * b.value, a.first * b.value + a.value * b.first,
          a.second * b.value + 2 * a.first * b.first + a.value * b.second};
}

inline Jet operator*(long double factor, const Jet& a) {
  return {factor * a.value, factor * a.first, factor * a.second};
}

inline Jet operator-(const Jet& a) { return -1.0L * a; }

// Returns base^exponent for a base >= 0. Where the base is 0, the derivatives
// are taken as 0.
inline Jet Pow(const Jet& base, long double exponent) {
  const long double power = std::pow(base.value, exponent);
  if (base.value == 0) return {power, 0, 0};
  const long double first = exponent * base.first / base.value;
  const long double bend =
      exponent * base.second / base.value - first * base.first / base.value;
  return {power, power * first, power * (first * first + bend)};
}

// Returns log(a), whose value the caller may know with more digits.
inline Jet Log(const Jet& a, long double value) {
  const long double first = a.first / a.value;
  return {value, first, a.second / a.value - first * first};
}

// Returns s(x) = 1 / (1 + e^-x) without overflow.
inline long double Sigmoid(long double x) {
  const long double z = std::exp(-std::fabs(x));
  return x >= 0 ? 1 / (1 + z) : z / (1 + z);
}

// Return s(x) and s(-x) by x.
inline Jet SigmoidOf(long double x) {
  const long double p = Sigmoid(x), rest = Sigmoid(-x);
  return {p, p * rest, p * rest * (rest - p)};
}
inline Jet SigmoidOfMinus(long double x) {
  const Jet s = SigmoidOf(x);
  return {Sigmoid(-x), -s.first, -s.second};
}

// Return log(1 + e^x) and log(1 + e^-x) by x.
inline Jet SoftplusOf(long double x) {
  const long double value =
      (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
  return {value, Sigmoid(x), Sigmoid(x) * Sigmoid(-x)};
}
inline Jet SoftplusOfMinus(long double x) {
  const Jet mirrored = SoftplusOf(-x);
  return {mirrored.value, -mirrored.first, mirrored.second};
}

}  // namespace lossd::kernels::reference

#endif  // LOSSD_KERNELS_REFERENCE_JET_H_
