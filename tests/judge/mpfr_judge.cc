#include "tests/judge/mpfr_judge.h"

#include <mpfr.h>

namespace lossd::exhaustive {
namespace {

constexpr mpfr_prec_t kBits = 256;

// An MPFR number that frees itself. Rounds to nearest.
class Number {
 public:
  Number() { mpfr_init2(value_, kBits); }
  explicit Number(long double value) : Number() {
    mpfr_set_ld(value_, value, MPFR_RNDN);
  }
  Number(const Number& other) : Number() {
    mpfr_set(value_, other.value_, MPFR_RNDN);
  }
  Number& operator=(const Number& other) {
    mpfr_set(value_, other.value_, MPFR_RNDN);
    return *this;
  }
  ~Number() { mpfr_clear(value_); }

  friend Number operator+(const Number& a, const Number& b) {
    Number sum;
    mpfr_add(sum.value_, a.value_, b.value_, MPFR_RNDN);
    return sum;
  }
  friend Number operator-(const Number& a, const Number& b) {
    Number difference;
    mpfr_sub(difference.value_, a.value_, b.value_, MPFR_RNDN);
    return difference;
  }
  friend Number operator*(const Number& a, const Number& b) {
    Number product;
    mpfr_mul(product.value_, a.value_, b.value_, MPFR_RNDN);
    return product;
  }
  friend Number operator/(const Number& a, const Number& b) {
    Number quotient;
    mpfr_div(quotient.value_, a.value_, b.value_, MPFR_RNDN);
    return quotient;
  }
  friend Number Exp(const Number& a) {
    Number power;
    mpfr_exp(power.value_, a.value_, MPFR_RNDN);
    return power;
  }
  friend Number Log1p(const Number& a) {
    Number logarithm;
    mpfr_log1p(logarithm.value_, a.value_, MPFR_RNDN);
    return logarithm;
  }
  friend Number Pow(const Number& base, const Number& exponent) {
    Number power;
    mpfr_pow(power.value_, base.value_, exponent.value_, MPFR_RNDN);
    return power;
  }
  bool positive() const { return mpfr_sgn(value_) > 0; }
  Wide ToWide() const {
    const long double high = mpfr_get_ld(value_, MPFR_RNDN);
    const Number rest = *this - Number(high);
    return {high, mpfr_get_ld(rest.value_, MPFR_RNDN)};
  }

 private:
  mpfr_t value_;
};

// log(1 + e^x) and 1 / (1 + e^-x). e^|x| is never taken: it may overflow.
struct Pair {
  Number softplus;
  Number sigmoid;
};

Pair PairAt(long double x) {
  const Number one(1);
  const Number z = Exp(Number(-std::fabs(x)));
  const Number log1p = Log1p(z);
  if (x < 0) return {log1p, z / (one + z)};
  return {Number(x) + log1p, one / (one + z)};
}

// What the formulas are made of.
struct Inputs {
  explicit Inputs(const ElementInputs& in)
      : at(PairAt(in.x)), mirrored(PairAt(-in.x)), w(in.w) {
    const Number one(1);
    const Number e(in.smoothing);
    t = Number(in.t) * (one - e) + e / Number(2);
    negative = one - t;
    positive = t * Number(in.q);
  }
  Number Entropy() const {
    return positive * mirrored.softplus + negative * at.softplus;
  }
  Number EntropySlope() const {
    return negative * at.sigmoid - positive * mirrored.sigmoid;
  }

  Pair at, mirrored;
  Number w, t, negative, positive;
};

}  // namespace

WideElement MpfrCrossEntropy(const ElementInputs& in) {
  const Inputs of(in);
  return {(of.w * of.Entropy()).ToWide(), (of.w * of.EntropySlope()).ToWide()};
}

WideElement MpfrFocal(const ElementInputs& in,
                      const kernels::LossParameters& loss) {
  const Inputs of(in);
  const Number gamma(loss.gamma_positive);
  const Number base = of.t * of.mirrored.sigmoid + of.negative * of.at.sigmoid;
  const Number base_slope =
      (of.negative - of.t) * of.at.sigmoid * of.mirrored.sigmoid;
  const Number factor = of.w *
                        (Number(loss.alpha_positive) * of.t +
                         Number(loss.alpha_negative) * of.negative) *
                        Pow(base, gamma);
  const Number slope =
      of.EntropySlope() + gamma * base_slope / base * of.Entropy();
  return {(factor * of.Entropy()).ToWide(), (factor * slope).ToWide()};
}

WideElement MpfrAsymmetric(const ElementInputs& in,
                           const kernels::LossParameters& loss) {
  const Inputs of(in);
  const Number one(1);
  const Number p = of.at.sigmoid;
  const Number rest = of.mirrored.sigmoid;
  const Number gamma(loss.gamma_positive);
  const Number power = of.w * of.positive * Pow(rest, gamma);
  Number sum = power * of.mirrored.softplus;
  Number slope = Number(0) - power * (rest + gamma * p * of.mirrored.softplus);
  const Number shifted = p - Number(loss.margin);
  if (shifted.positive()) {
    const Number other(loss.gamma_negative);
    const Number log = Number(0) - Log1p(Number(0) - shifted);
    const Number factor = of.w * of.negative * Pow(shifted, other);
    sum = sum + factor * log;
    slope = slope +
            factor * p * rest * (other * log / shifted + one / (one - shifted));
  }
  return {sum.ToWide(), slope.ToWide()};
}

}  // namespace lossd::exhaustive
