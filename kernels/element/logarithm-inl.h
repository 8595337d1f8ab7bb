// Softplus, logarithm and exponential as unevaluated sums of two numbers, for
// the losses with powers. This body is included by
// kernels/element/element-inl.h.
//
// A power b^g is e^(g log b), and an absolute error of that exponent is a
// relative error of the result. Where the power is small the exponent is near
// 100 (in float64 near 700), and rounding it once would cost seven (ten) bits.
// Hence every logarithm here carries the remainder of its rounding, and the
// exponent is never rounded to one number (D11).

// The number high + low. |low| is at most about an ulp of high.
template <class Ops>
struct Parts {
  typename Ops::V high;
  typename Ops::V low;
};

// Returns a + b exactly, where |a| >= |b| or a is 0.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> OrderedSum(typename Ops::V a, typename Ops::V b) {
  const typename Ops::V high = Ops::Add(a, b);
  return {high, Ops::Sub(b, Ops::Sub(high, a))};
}

// Returns a + b exactly.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> ExactSum(typename Ops::V a, typename Ops::V b) {
  const typename Ops::V high = Ops::Add(a, b);
  const typename Ops::V of_b = Ops::Sub(high, a);
  const typename Ops::V of_a = Ops::Sub(high, of_b);
  return {high, Ops::Add(Ops::Sub(a, of_a), Ops::Sub(b, of_b))};
}

// Returns a p with a relative error near the square of an ulp's.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> Product(typename Ops::V a, const Parts<Ops>& p) {
  const typename Ops::V high = Ops::Mul(a, p.high);
  return {high, Ops::Fma(a, p.low, Ops::FmaSub(a, p.high, high))};
}

template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> SelectParts(typename Ops::M m, const Parts<Ops>& a,
                                        const Parts<Ops>& b) {
  return {Ops::Select(m, a.high, b.high), Ops::Select(m, a.low, b.low)};
}

template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> SelectNegativeParts(typename Ops::V x,
                                                const Parts<Ops>& a,
                                                const Parts<Ops>& b) {
  return {Ops::SelectNegative(x, a.high, b.high),
          Ops::SelectNegative(x, a.low, b.low)};
}

template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> Negated(const Parts<Ops>& a) {
  return {Ops::Neg(a.high), Ops::Neg(a.low)};
}

// Continues Horner's scheme in x^2 over every second term of a polynomial, from
// term kTerm on.
template <class Ops, class Polynomial, int kTerm>
LOSSD_ELEMENT_FN typename Ops::V EverySecondTerm(typename Ops::V square,
                                                 typename Ops::V sum) {
  constexpr int count = sizeof(Polynomial::kTerms) / sizeof(typename Ops::T);
  if constexpr (kTerm >= count) {
    return sum;
  } else {
    return EverySecondTerm<Ops, Polynomial, kTerm + 2>(
        square, Ops::Fma(sum, square, Ops::Set(Polynomial::kTerms[kTerm])));
  }
}

// Returns the polynomial's value at x as x odd(x^2) + even(x^2). The two chains
// of operations have half the length and run side by side.
template <class Ops, class Polynomial>
LOSSD_ELEMENT_FN typename Ops::V EvenAndOdd(typename Ops::V x,
                                            typename Ops::V square) {
  constexpr int count = sizeof(Polynomial::kTerms) / sizeof(typename Ops::T);
  constexpr int even = (count + 1) % 2;
  constexpr int odd = 1 - even;
  // They are constants by themselves: device code has no array to index.
  constexpr typename Ops::T first_odd = Polynomial::kTerms[odd];
  constexpr typename Ops::T first_even = Polynomial::kTerms[even];
  return Ops::Fma(
      x, EverySecondTerm<Ops, Polynomial, odd + 2>(square, Ops::Set(first_odd)),
      EverySecondTerm<Ops, Polynomial, even + 2>(square, Ops::Set(first_even)));
}

// The constants of an element type's powers.
template <class T>
struct PowerLayout;

template <>
struct PowerLayout<float> {
  // e^-kLimit is 2^-251. Scale() reaches that far, and its product with a loss
  // below 2^100 is below half the least subnormal.
  static constexpr float kLimit = 174.0f;
  // Adding 1.5 * 2^23 rounds a number to an integer.
  static constexpr float kRound = 12582912.0f;
  static constexpr float kLn2Rest = -0x1.05c61p-29f;  // ln(2) - kLn2
  // m * kLift is normal for every positive m <= 1.
  static constexpr float kLift = 0x1p24f;
  static constexpr float kLiftExponent = 24.0f;
  static constexpr float kLeast = 0x1p-149f;
  // Gamma is clamped to this value, so that its products with logarithms are
  // finite.
  static constexpr float kLargestGamma = 0x1p120f;
};

template <>
struct PowerLayout<double> {
  static constexpr double kLimit = 1416.0;
  static constexpr double kRound = 6755399441055744.0;
  static constexpr double kLn2Rest = 0x1.abc9e3b39803fp-56;
  static constexpr double kLift = 0x1p54;
  static constexpr double kLiftExponent = 54.0;
  static constexpr double kLeast = 0x1p-1074;
  static constexpr double kLargestGamma = 0x1p1000;
};

// An exponential as mantissa and power of two: mantissa * 2^n, with an integer
// n in Scale()'s range. The two stay apart, so that a product with an
// exponential that would underflow by itself is still rounded only once.
template <class Ops>
struct Exponential {
  Parts<Ops> mantissa;
  typename Ops::V n;
};

// Returns e^-(w.high + w.low) for 0 <= w.high <= PowerLayout::kLimit.
template <class Ops>
LOSSD_ELEMENT_FN Exponential<Ops> ExponentialOfMinus(const Parts<Ops>& w) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  using Layout = ExponentLayout<T>;
  const V round = Ops::Set(PowerLayout<T>::kRound);
  // w = -n ln(2) + s. The first step is exact.
  const V n =
      Ops::Sub(Ops::NegFma(w.high, Ops::Set(Layout::kLog2E), round), round);
  const V coarse = Ops::Fma(n, Ops::Set(Layout::kLn2High), w.high);
  const V fine = Ops::Fma(n, Ops::Set(Layout::kLn2Low), w.low);
  // Where |fine| > |coarse|, both are so small that nothing is lost.
  const Parts<Ops> s = OrderedSum<Ops>(coarse, fine);
  // e^-s = 1 - s + s^2 E(s)
  const V one = Ops::Set(T{1});
  const V square = Ops::Mul(s.high, s.high);
  const V curve = Ops::Mul(
      square,
      EvenAndOdd<Ops, typename Polynomials<T>::FineExpOfMinus>(s.high, square));
  const Parts<Ops> line = OrderedSum<Ops>(one, Ops::Neg(s.high));
  const Parts<Ops> sum = OrderedSum<Ops>(line.high, curve);
  const V low = Ops::NegFma(s.low, sum.high, Ops::Add(sum.low, line.low));
  return {{sum.high, low}, n};
}

// For y = |x| and z = e^-y: the softplus of y, log1p(z) + y; the softplus of
// -y, log1p(z); z itself; and z before its power of two was multiplied in.
template <class Ops>
struct SoftplusResult {
  Parts<Ops> plus;
  Parts<Ops> minus;
  Parts<Ops> z;
  Exponential<Ops> unscaled_z;
};

// Returns log1p(e^-y) for y < 1: ln(2) - y/2 + y^2 C(y^2).
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> SoftplusNearZero(typename Ops::V y) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V half = Ops::Set(T{0.5});
  const V ln2 = Ops::Set(ExponentLayout<T>::kLn2);
  const V line = Ops::NegFma(half, y, ln2);
  const V lost = Ops::Add(Ops::NegFma(half, y, Ops::Sub(ln2, line)),
                          Ops::Set(PowerLayout<T>::kLn2Rest));
  const V square = Ops::Mul(y, y);
  const V curve = Horner<Ops, typename Polynomials<T>::FineCenter>(square);
  return OrderedSum<Ops>(line, Ops::Fma(square, curve, lost));
}

// Returns log1p(z) for z <= 1/e. z.low is multiplied by the derivative, for
// which 1 - z is close enough.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> Log1pOf(const Parts<Ops>& z) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V square = Ops::Mul(z.high, z.high);
  const V curve =
      EvenAndOdd<Ops, typename Polynomials<T>::FineLog1p>(z.high, square);
  const V low = Ops::Mul(z.low, Ops::Sub(Ops::Set(T{1}), z.high));
  return OrderedSum<Ops>(z.high, Ops::Fma(square, curve, low));
}

template <class Ops>
LOSSD_ELEMENT_FN SoftplusResult<Ops> SoftplusOf(typename Ops::V y) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V zero = Ops::Set(T{0});
  const V clamped = Ops::ClampAbove(y, PowerLayout<T>::kLimit);
  const Exponential<Ops> e = ExponentialOfMinus<Ops>({clamped, zero});
  const Parts<Ops> z = {Ops::Scale(e.mantissa.high, e.n),
                        Ops::Scale(e.mantissa.low, e.n)};
  const Parts<Ops> minus = SelectParts<Ops>(
      Ops::IsBelow(y, T{1}), SoftplusNearZero<Ops>(y), Log1pOf<Ops>(z));
  Parts<Ops> plus = ExactSum<Ops>(y, minus.high);
  // For an infinite y the sum would be a NaN.
  plus.low = Ops::ZeroUnless(Ops::IsBelow(y, ExponentLayout<T>::kClamp),
                             Ops::Add(plus.low, minus.low));
  return {plus, minus, z, e};
}

// Returns 1 / (1 + z): the sigmoid of y for z = e^-y.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> SigmoidOf(const Parts<Ops>& z) {
  using V = typename Ops::V;
  const V one = Ops::Set(typename Ops::T{1});
  const Parts<Ops> sum = OrderedSum<Ops>(one, z.high);
  const V r = Ops::Div(one, sum.high);
  const V residual =
      Ops::NegFma(r, Ops::Add(sum.low, z.low), Ops::NegFma(r, sum.high, one));
  return {r, Ops::Mul(residual, r)};
}

// Returns log(m) for 0 < m <= 1. `below_one` is 1 - m, which may have more
// digits than m where m is near 1.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> LogOf(typename Ops::V m,
                                  typename Ops::V below_one) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  using Layout = ExponentLayout<T>;
  // The factor makes a subnormal normal, so that its exponent can be read.
  const V lifted = Ops::Mul(m, Ops::Set(PowerLayout<T>::kLift));
  const V exponent = Ops::ExponentOf(lifted);
  const V k = Ops::Sub(exponent, Ops::Set(PowerLayout<T>::kLiftExponent));
  // m = 2^k (1 + f)
  const V f = Ops::Select(
      Ops::IsZero(k), Ops::Neg(below_one),
      Ops::Sub(Ops::Scale(lifted, Ops::Neg(exponent)), Ops::Set(T{1})));
  const V curve = Ops::Mul(Ops::Mul(f, f),
                           Horner<Ops, typename Polynomials<T>::FineLog>(f));
  // Exact: kLn2High has few bits.
  const Parts<Ops> sum =
      OrderedSum<Ops>(Ops::Mul(k, Ops::Set(Layout::kLn2High)), f);
  const V low =
      Ops::Fma(k, Ops::Set(Layout::kLn2Low), Ops::Add(sum.low, curve));
  return OrderedSum<Ops>(sum.high, low);
}

// A parameter >= 0 as the sum of two numbers of the element type.
template <class T>
class SplitScalar {
 public:
  LOSSD_ELEMENT_FN explicit SplitScalar(double value) {
    constexpr double largest = PowerLayout<T>::kLargestGamma;
    const double clamped = value < largest ? value : largest;
    high_ = static_cast<T>(clamped);
    low_ = static_cast<T>(clamped - static_cast<double>(high_));
  }
  template <class Ops>
  LOSSD_ELEMENT_FN Parts<Ops> Get() const {
    return {Ops::Set(high_), Ops::Set(low_)};
  }

 private:
  T high_;
  T low_;
};

// Returns e^-(gamma l) for l >= 0: the power gamma of a base whose logarithm is
// -l. Where its product with any loss would vanish, the high mantissa is 0.
template <class Ops>
LOSSD_ELEMENT_FN Exponential<Ops> PowerOf(const Parts<Ops>& gamma,  // D11
                                          const Parts<Ops>& l) {
  using T = typename Ops::T;
  using Layout = PowerLayout<T>;
  Parts<Ops> w = Product<Ops>(gamma.high, l);
  w.low = Ops::Fma(gamma.low, l.high, w.low);
  const typename Ops::M dead = Ops::IsBelow(Ops::Neg(w.high), -Layout::kLimit);
  w.high = Ops::ClampAbove(w.high, Layout::kLimit);
  Exponential<Ops> power = ExponentialOfMinus<Ops>(w);
  power.mantissa.high = Ops::ZeroWhere(dead, power.mantissa.high);
  return power;
}

// Returns the power times `value`, which is finite or >= 0; rounded once. A
// power of 0 gives 0, even for an infinite value.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V TimesPower(const Exponential<Ops>& power,
                                            const Parts<Ops>& value) {
  using V = typename Ops::V;
  const Parts<Ops>& m = power.mantissa;
  // Without the clamp, infinity times an m.low of 0 would be a NaN.
  const V finite =
      Ops::ClampAbove(value.high, ExponentLayout<typename Ops::T>::kLargest);
  const V low = Ops::Fma(finite, m.low, Ops::Mul(value.low, m.high));
  return Ops::ZeroWhere(Ops::IsZero(m.high),
                        Ops::Scale(Ops::Fma(value.high, m.high, low), power.n));
}
