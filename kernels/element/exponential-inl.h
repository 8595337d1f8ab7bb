// e^-y, and the functions that the cross-entropy makes of it. This body is
// included by kernels/element/element-inl.h.

// The constants of an element type's exponential.
template <class T>
struct ExponentLayout;

template <>
struct ExponentLayout<float> {
  // e^-110 is below half the least subnormal.
  static constexpr float kClamp = 110.0f;
  static constexpr float kLargest = 0x1.fffffep127f;
  static constexpr float kLog2E = 0x1.715476p+0f;
  static constexpr float kLn2 = 0x1.62e43p-1f;
  // ln(2) in two parts. The first has 16 bits, so its product with n is exact.
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  // Adding 1.5 * 2^23 rounds a number to an integer n. The low bits of the sum
  // then hold n + 64 + 127: the biased exponent of 2^(n + 64), which is normal
  // for every n that occurs.
  static constexpr float kRound = 12582912.0f + 191.0f;
};

template <>
struct ExponentLayout<double> {
  static constexpr double kClamp = 750.0;
  static constexpr double kLargest = 0x1.fffffffffffffp1023;
  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  static constexpr double kLn2High = 0x1.62e42fefap-1;
  static constexpr double kLn2Low = 0x1.cf79abc9e3b39p-40;
  static constexpr double kRound = 6755399441055744.0 + 512.0 + 1023.0;
};

// An integer n, and the sum of n and ExponentLayout::kRound. A policy uses one
// of them to multiply by 2^n.
template <class Ops>
struct Exponent {
  typename Ops::V n;
  typename Ops::V biased;
};

// Continues Horner's scheme over a polynomial of polynomials.h from term kTerm
// on; `sum` is the value of the terms before it.
template <class Ops, class Polynomial, int kTerm = 1>
LOSSD_ELEMENT_FN typename Ops::V HornerFrom(typename Ops::V x,
                                            typename Ops::V sum) {
  constexpr int count = sizeof(Polynomial::kTerms) / sizeof(typename Ops::T);
  if constexpr (kTerm == count) {
    return sum;
  } else {
    return HornerFrom<Ops, Polynomial, kTerm + 1>(
        x, Ops::Fma(sum, x, Ops::Set(Polynomial::kTerms[kTerm])));
  }
}

// Returns the polynomial's value at x.
template <class Ops, class Polynomial>
LOSSD_ELEMENT_FN typename Ops::V Horner(typename Ops::V x) {
  return HornerFrom<Ops, Polynomial>(x, Ops::Set(Polynomial::kTerms[0]));
}

// z = e^-y as a rounded value and the remainder that the rounding lost.
template <class Ops>
struct ExpResult {
  typename Ops::V high;
  typename Ops::V low;
};

// Returns e^-y for y >= 0.
template <class Ops>
LOSSD_ELEMENT_FN ExpResult<Ops> ExpOfMinus(typename Ops::V y) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  using Layout = ExponentLayout<T>;
  y = Ops::ClampAbove(y, Layout::kClamp);
  // y = -n ln(2) - r with n = round(-y / ln(2)), |r| <= ln(2) / 2; s is -r.
  const V round = Ops::Set(Layout::kRound);
  const V biased = Ops::NegFma(y, Ops::Set(Layout::kLog2E), round);
  const Exponent<Ops> exponent = {Ops::Sub(biased, round), biased};
  V s = Ops::Fma(exponent.n, Ops::Set(Layout::kLn2High), y);
  s = Ops::Fma(exponent.n, Ops::Set(Layout::kLn2Low), s);
  // e^r = 1 - p
  const V p = Ops::NegFma(
      Ops::Mul(s, s), Horner<Ops, typename Polynomials<T>::ExpOfMinus>(s), s);
  const V one = Ops::Set(T{1});
  const V sum = Ops::Sub(one, p);
  const V lost = Ops::Sub(Ops::Sub(one, sum), p);
  return {Ops::TimesPowerOfTwo(sum, exponent),
          Ops::TimesPowerOfTwo(lost, exponent)};
}

// Returns an estimate of 1 / (1 + z) for z <= 1/e. It is close enough for one
// correction to make it accurate.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V ReciprocalOfOnePlus(typename Ops::V z) {  // D7
  using T = typename Ops::T;
  using V = typename Ops::V;
  V r = Horner<Ops, typename Polynomials<T>::Reciprocal>(z);
  if constexpr (sizeof(T) == 8) {  // 53 bits need a Newton step as well
    const V one = Ops::Set(T{1});
    r = Ops::Fma(r, Ops::NegFma(r, Ops::Add(one, z), one), r);
  }
  return r;
}

// log1p(z) and u = z / (1 + z) for z = e^-y: the softplus and the sigmoid of
// -y; and u (1 - u), the derivative of the sigmoid.
template <class Ops>
struct TailResult {
  typename Ops::V log1p;
  typename Ops::V sigmoid;
  typename Ops::V curve;  // with kSecond, else 0
};

// Returns u (1 - u) for u = sigmoid + lost <= 0.27, as u + (lost (1 - 2 u) -
// u^2). Only the last sum rounds by half an ulp, because u^2 is the smaller
// term; without `lost` the error of u could show twice.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V TailCurve(typename Ops::V sigmoid,
                                           typename Ops::V lost) {
  using V = typename Ops::V;
  const V slope = Ops::NegFma(sigmoid, Ops::Set(typename Ops::T{2}),
                              Ops::Set(typename Ops::T{1}));
  return Ops::Add(sigmoid,
                  Ops::NegFma(sigmoid, sigmoid, Ops::Mul(lost, slope)));
}

// Returns them for z = e^-y and y >= 1.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN TailResult<Ops> Tail(const ExpResult<Ops>& z) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V r = ReciprocalOfOnePlus<Ops>(z.high);
  // log1p(z + low) = log1p(z) + low / (1 + z). The small terms are summed
  // before the one addition that rounds the result.
  const V correction = Ops::Fma(
      Ops::Mul(z.high, z.high),
      Horner<Ops, typename Polynomials<T>::Log1p>(z.high), Ops::Mul(z.low, r));
  // q = z r is near z / (1 + z). Its residual z - q (1 + z), plus low, corrects
  // it. z - q is exact (Sterbenz).
  const V q = Ops::Mul(z.high, r);
  const V residual =
      Ops::Add(Ops::NegFma(q, z.high, Ops::Sub(z.high, q)), z.low);
  const V sigmoid = Ops::Fma(residual, r, q);
  V curve = Ops::Set(0);
  if constexpr (kSecond) {
    curve =
        TailCurve<Ops>(sigmoid, Ops::Fma(residual, r, Ops::Sub(q, sigmoid)));
  }
  return {Ops::Add(z.high, correction), sigmoid, curve};
}
