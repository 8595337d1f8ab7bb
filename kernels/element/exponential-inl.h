// e^-y and what is made of it. A body, included by
// kernels/element/element-inl.h.

// Where the exponent arithmetic of a type lies.
template <class T>
struct ExponentLayout;

template <>
struct ExponentLayout<float> {
  static constexpr float kClamp =
      110.0f;  // e^-110 is below half the least subnormal
  static constexpr float kLargest = 0x1.fffffep127f;
  static constexpr float kLog2E = 0x1.715476p+0f;
  // ln(2) in two parts; the first has 16 bits, so n times it leaves no
  // remainder.
  static constexpr float kLn2 = 0x1.62e43p-1f;
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  // 1.5 * 2^23 rounds what is added to it to an integer; the low bits then hold
  // n + 64 + 127: the biased exponent of 2^(n + 64), which is normal for every
  // n that occurs.
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

// An integer n, and n added to ExponentLayout::kRound. A policy uses one or the
// other to multiply by 2^n.
template <class Ops>
struct Exponent {
  typename Ops::V n;
  typename Ops::V biased;
};

// Horner's scheme over a polynomial of polynomials.h, from its term kTerm on.
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

template <class Ops, class Polynomial>
LOSSD_ELEMENT_FN typename Ops::V Horner(typename Ops::V x) {
  return HornerFrom<Ops, Polynomial>(x, Ops::Set(Polynomial::kTerms[0]));
}

// z = e^-y for y >= 0, as a rounded value and what the rounding lost.
template <class Ops>
struct ExpResult {
  typename Ops::V high;
  typename Ops::V low;
};

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

// 1 / (1 + z) for z <= 1/e, close enough for one correction to finish it.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V ReciprocalOfOnePlus(typename Ops::V z) {  // D7
  using T = typename Ops::T;
  using V = typename Ops::V;
  V r = Horner<Ops, typename Polynomials<T>::Reciprocal>(z);
  if constexpr (sizeof(T) == 8) {  // not close enough for 53 bits: Newton
    const V one = Ops::Set(T{1});
    r = Ops::Fma(r, Ops::NegFma(r, Ops::Add(one, z), one), r);
  }
  return r;
}

// log1p(e^-y) and e^-y / (1 + e^-y) for y >= 1.
template <class Ops>
struct TailResult {
  typename Ops::V log1p;
  typename Ops::V share;
};

template <class Ops>
LOSSD_ELEMENT_FN TailResult<Ops> Tail(typename Ops::V y) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const ExpResult<Ops> z = ExpOfMinus<Ops>(y);
  const V r = ReciprocalOfOnePlus<Ops>(z.high);
  // log1p(z + low) = log1p(z) + low / (1 + z): everything small is summed
  // before the one addition that rounds the result.
  const V correction = Ops::Fma(
      Ops::Mul(z.high, z.high),
      Horner<Ops, typename Polynomials<T>::Log1p>(z.high), Ops::Mul(z.low, r));
  // q = z r is near z / (1 + z); its residual z - q (1 + z), plus low, is
  // corrected. z - q is exact (Sterbenz).
  const V q = Ops::Mul(z.high, r);
  const V residual =
      Ops::Add(Ops::NegFma(q, z.high, Ops::Sub(z.high, q)), z.low);
  return {Ops::Add(z.high, correction), Ops::Fma(residual, r, q)};
}
