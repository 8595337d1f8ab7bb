#include "tests/judge/mpfr_judge.h"

#include <mpfr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "tests/judge/judge.h"

namespace lossd::judge {
namespace {

// The bits of a new number.
thread_local mpfr_prec_t number_bits = 256;

// Sets them for as long as it lives.
class Precision {
 public:
  explicit Precision(mpfr_prec_t bits) : before_(number_bits) {
    number_bits = bits;
  }
  ~Precision() { number_bits = before_; }
  Precision(const Precision&) = delete;
  Precision& operator=(const Precision&) = delete;

 private:
  const mpfr_prec_t before_;
};

// An MPFR number that frees itself. Operations round to nearest.
class Number {
 public:
  Number() { mpfr_init2(value_, number_bits); }
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
  friend Number Log(const Number& a) {
    Number logarithm;
    mpfr_log(logarithm.value_, a.value_, MPFR_RNDN);
    return logarithm;
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
  friend Number Abs(const Number& a) {
    Number size;
    mpfr_abs(size.value_, a.value_, MPFR_RNDN);
    return size;
  }
  bool positive() const { return mpfr_sgn(value_) > 0; }
  bool negative() const { return mpfr_sgn(value_) < 0; }
  Wide ToWide() const {
    const long double high = mpfr_get_ld(value_, MPFR_RNDN);
    const Number rest = *this - Number(high);
    return {high, mpfr_get_ld(rest.value_, MPFR_RNDN)};
  }

 private:
  mpfr_t value_;
};

// log(1 + e^x) and 1 / (1 + e^-x). They are computed from e^-|x|, because e^|x|
// may overflow.
struct Pair {
  Number softplus;
  Number sigmoid;
};

Pair PairAt(const Number& x) {
  const Number one(1);
  const Number z = Exp(Number(0) - Abs(x));
  const Number log1p = Log1p(z);
  if (x.negative()) return {log1p, z / (one + z)};
  return {x + log1p, one / (one + z)};
}

// The terms of the formulas.
struct Inputs {
  explicit Inputs(const ElementInputs& in) : Inputs(in, Number(in.x)) {}
  // The logit is `x` instead of the element's own.
  Inputs(const ElementInputs& in, const Number& x)
      : at(PairAt(x)), mirrored(PairAt(Number(0) - x)), w(in.w) {
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

// Returns w times a loss and its derivatives, given the loss as a function of
// Inputs. The differences over steps of 2^-40 are exact to about 2^-76. The
// precision holds what is left where e^-|x| is 2^-1010.
template <class Loss>
WideElement ByDifferences(const ElementInputs& in, Loss loss) {
  const Precision precision(1600);
  const Number step(0x1p-40L);
  const Number x(in.x);
  const Number at = loss(Inputs(in, x));
  const Number above = loss(Inputs(in, x + step));
  const Number below = loss(Inputs(in, x - step));
  const Number w(in.w);
  return {(w * at).ToWide(), (w * (above - below) / (step + step)).ToWide(),
          (w * (above - at - at + below) / (step * step)).ToWide()};
}

Number AlphaOf(const Inputs& of, const kernels::LossParameters& loss) {
  return Number(loss.alpha_positive) * of.t +
         Number(loss.alpha_negative) * of.negative;
}

// Returns 1 - p_t.
Number MissOf(const Inputs& of) {
  return of.t * of.mirrored.sigmoid + of.negative * of.at.sigmoid;
}

Number FocalOf(const Inputs& of, const kernels::LossParameters& loss) {
  return AlphaOf(of, loss) * Pow(MissOf(of), Number(loss.gamma_positive)) *
         of.Entropy();
}

// p_m = p - margin, and 1 - p_m, which is not computed from p_m: where p is
// near 1, that would leave no digits.
struct Shifted {
  Shifted(const Inputs& of, const kernels::LossParameters& loss)
      : p(of.at.sigmoid - Number(loss.margin)),
        rest(of.mirrored.sigmoid + Number(loss.margin)) {}
  // Returns -log(1 - p_m).
  Number MinusLog() const {
    const bool is_small = (p - Number(0.5L)).negative();
    return Number(0) - (is_small ? Log1p(Number(0) - p) : Log(rest));
  }

  Number p, rest;
};

Number AsymmetricOf(const Inputs& of, const kernels::LossParameters& loss) {
  const Number sum = of.positive *
                     Pow(of.mirrored.sigmoid, Number(loss.gamma_positive)) *
                     of.mirrored.softplus;
  const Shifted shifted(of, loss);
  if (!shifted.p.positive()) return sum;
  return sum + of.negative * Pow(shifted.p, Number(loss.gamma_negative)) *
                   shifted.MinusLog();
}

Number OfKind(kernels::LossKind kind, const Inputs& of,
              const kernels::LossParameters& loss) {
  const Number gamma(loss.gamma_positive);
  switch (kind) {
    case kernels::LossKind::kPoly:
      return FocalOf(of, loss) +
             Number(loss.epsilon) * Pow(MissOf(of), gamma + Number(1));
    case kernels::LossKind::kQualityFocal:
      return Pow(Abs(of.t * of.mirrored.sigmoid - of.negative * of.at.sigmoid),
                 gamma) *
             of.Entropy();
    case kernels::LossKind::kVarifocal:
      if (of.t.positive()) return of.t * of.Entropy();
      return Number(loss.alpha_negative) *
             Pow(of.at.sigmoid, Number(loss.gamma_negative)) * of.at.softplus;
    default:
      return of.Entropy();
  }
}

constexpr uint32_t kInfinity = 0x7f800000;  // as bits of a float32

// Returns the bits of magnitudes where a formula, a digit or a result ends.
std::vector<uint32_t> HardPlaces() {
  std::vector<uint32_t> places;
  for (uint32_t exponent = 0; exponent < 255; ++exponent) {
    places.push_back(exponent << 23);
  }
  // They are multiples of ln(2)/2, which are steps of the argument reduction,
  // and the places where e^-x leaves the normal float32 numbers, reaches half
  // the least one, is below every clamp, and ends in float64.
  for (const float x :
       {0.34657359f, 0.69314718f, 1.0397208f, 16.635532f, 17.32868f, 36.04365f,
        87.336548f, 88.029694f, 103.27893f, 103.97208f, 110.0f, 708.3964f,
        745.13322f, 3.4028235e38f}) {
    places.push_back(std::bit_cast<uint32_t>(x));
  }
  return places;
}

std::vector<uint32_t> Magnitudes(uint64_t samples, uint32_t seed) {
  constexpr int kNeighbours = 20;  // on each side
  std::vector<uint32_t> magnitudes;
  for (const uint32_t place : HardPlaces()) {
    for (int k = -kNeighbours; k <= kNeighbours; ++k) {
      const int64_t bits = static_cast<int64_t>(place) + k;
      if (bits >= 0 && bits < kInfinity) {
        magnitudes.push_back(static_cast<uint32_t>(bits));
      }
    }
  }
  std::mt19937 random(seed);
  std::uniform_int_distribution<uint32_t> any(0, kInfinity - 1);
  // Every other magnitude is from 2^-30 to 128, where the results are no
  // constants.
  std::uniform_int_distribution<uint32_t> middle(0x30800000, 0x43000000);
  for (uint64_t i = 0; i < samples; ++i) {
    magnitudes.push_back(i % 2 == 0 ? any(random) : middle(random));
  }
  return magnitudes;
}

}  // namespace

WideElement MpfrCrossEntropy(const ElementInputs& in) {
  const Inputs of(in);
  const Number second =
      (of.positive + of.negative) * of.at.sigmoid * of.mirrored.sigmoid;
  return {(of.w * of.Entropy()).ToWide(), (of.w * of.EntropySlope()).ToWide(),
          (of.w * second).ToWide()};
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
  const auto at = [&](const Inputs& inputs) { return FocalOf(inputs, loss); };
  return {(factor * of.Entropy()).ToWide(), (factor * slope).ToWide(),
          ByDifferences(in, at).second};
}

WideElement MpfrAsymmetric(const ElementInputs& in,
                           const kernels::LossParameters& loss) {
  const Inputs of(in);
  const Number p = of.at.sigmoid;
  const Number rest = of.mirrored.sigmoid;
  const Number gamma(loss.gamma_positive);
  const Number power = of.w * of.positive * Pow(rest, gamma);
  Number sum = power * of.mirrored.softplus;
  Number slope = Number(0) - power * (rest + gamma * p * of.mirrored.softplus);
  const Shifted shifted(of, loss);
  if (shifted.p.positive()) {
    const Number other(loss.gamma_negative);
    const Number log = shifted.MinusLog();
    const Number factor = of.w * of.negative * Pow(shifted.p, other);
    sum = sum + factor * log;
    slope = slope + factor * p * rest *
                        (other * log / shifted.p + Number(1) / shifted.rest);
  }
  const auto at = [&](const Inputs& inputs) {
    return AsymmetricOf(inputs, loss);
  };
  return {sum.ToWide(), slope.ToWide(), ByDifferences(in, at).second};
}

WideElement MpfrOfKind(kernels::LossKind kind, const ElementInputs& in,
                       const kernels::LossParameters& loss) {
  return ByDifferences(
      in, [&](const Inputs& of) { return OfKind(kind, of, loss); });
}

ReferenceErrors ProveReference(uint64_t samples, uint32_t seed) {
  ReferenceErrors errors;
  const auto in_ulps = [](double got, const Wide& exact) {
    return static_cast<double>(exact.DistanceOf(got)) *
           InverseUnit(static_cast<double>(exact.high));
  };
  for (const uint32_t magnitude : Magnitudes(samples, seed)) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float x = std::bit_cast<float>(magnitude | sign);
      const Exact got = ExactAt(x);
      const WideElement exact = MpfrCrossEntropy({x, 0});
      errors.loss = std::max(errors.loss, in_ulps(got.loss, exact.loss));
      errors.gradient =
          std::max(errors.gradient, in_ulps(got.gradient, exact.derivative));
      errors.second =
          std::max(errors.second, in_ulps(got.second, exact.second));
      ++errors.logits;
    }
  }
  return errors;
}

}  // namespace lossd::judge
