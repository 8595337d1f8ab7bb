#include "tests/exhaustive/mpfr_judge.h"

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

}  // namespace

WideElement MpfrCrossEntropy(const ElementInputs& in) {
  const Pair at = PairAt(in.x);
  const Pair mirrored = PairAt(-in.x);
  const Number one(1);
  const Number e(in.smoothing);
  const Number t = Number(in.t) * (one - e) + e / Number(2);
  const Number negative = one - t;
  const Number positive = t * Number(in.q);
  const Number w(in.w);
  const Number loss =
      w * (positive * mirrored.softplus + negative * at.softplus);
  const Number derivative =
      w * (negative * at.sigmoid - positive * mirrored.sigmoid);
  return {loss.ToWide(), derivative.ToWide()};
}

}  // namespace lossd::exhaustive
