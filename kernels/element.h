// The element function: one logit, one target, the loss and its derivative.
// Written once, over an arithmetic policy, and used by every backend.
//
// This file is a body, and on purpose has no include guard: each backend
// includes it inside a namespace of its own, because a compiler applies an
// instruction set to the text that it is told to (GCC's target pragma, CUDA's
// __device__). Before that, it
//   - includes kernels/polynomials.h, outside any namespace of its own,
//   - defines LOSSD_ELEMENT_FN, what stands before a function (`inline`, ...).
//
// The policy `Ops` has the element type T (float or double), V (one or more of
// them), M (a truth value for each) and static functions, each correctly
// rounded and so the same bits on every machine:
//   Set(T)  Add  Sub  Mul  Neg  Abs
//   Fma(a, b, c) = a b + c and NegFma(a, b, c) = c - a b, rounded once
//   ClampAbove(a, T limit) = a > limit ? limit : a        (a NaN stays a NaN)
//   ShiftIntoExponent(a): the bits of a, shifted left by T's mantissa width
//   IsZero(a)  IsOne(a)  IsBelow(a, T limit)  Select(m, a, b) = m ? a : b
//   SelectNegative(x, a, b): a where x has its sign bit set, else b
//   FlipWhereNegative(x, a): a, with its sign turned where x has its sign bit
//   set
//
// Formulas: with y = |x|, z = e^-y, u = z / (1 + z), target t and positive
// weight q,
//   A = x < 0 ? t q : 1 - t         b = t q + (1 - t)
//   loss = A y + b log1p(z)         derivative = x < 0 ? b u - A : A - b u
// which is t q sp(-x) + (1 - t) sp(x) and its derivative, with nothing that
// cancels in the tails. Exchanging (x, t) for (-x, 1 - t) exchanges the two
// cases of A and changes nothing else, so loss(x, 1) == loss(-x, 0) and
// derivative(x, 1) == -derivative(-x, 0) bit for bit.

// Where the exponent arithmetic of a type lies. e^-y is 2^n (1 + p); 2^n is
// built from bits as 2^(n + offset), which is normal for every n that occurs,
// times 2^-offset.
template <class T>
struct ExponentLayout;

template <>
struct ExponentLayout<float> {
  static constexpr float kClamp =
      110.0f;  // e^-110 is below half the least subnormal
  static constexpr float kLog2E = 0x1.715476p+0f;
  // ln(2) in two parts; the first has 16 bits, so n times it leaves no
  // remainder.
  static constexpr float kLn2 = 0x1.62e43p-1f;
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  // 1.5 * 2^23 rounds what is added to it to an integer; the low bits then hold
  // n + 64 + 127: the biased exponent of 2^(n + 64).
  static constexpr float kRound = 12582912.0f + 191.0f;
  static constexpr float kUnscale = 0x1p-64f;
};

template <>
struct ExponentLayout<double> {
  static constexpr double kClamp = 750.0;
  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  static constexpr double kLn2High = 0x1.62e42fefap-1;
  static constexpr double kLn2Low = 0x1.cf79abc9e3b39p-40;
  static constexpr double kRound = 6755399441055744.0 + 512.0 + 1023.0;
  static constexpr double kUnscale = 0x1p-512;
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
  const V n = Ops::Sub(biased, round);
  V s = Ops::Fma(n, Ops::Set(Layout::kLn2High), y);
  s = Ops::Fma(n, Ops::Set(Layout::kLn2Low), s);
  // e^r = 1 - p
  const V p = Ops::NegFma(
      Ops::Mul(s, s), Horner<Ops, typename Polynomials<T>::ExpOfMinus>(s), s);
  const V one = Ops::Set(T{1});
  const V sum = Ops::Sub(one, p);
  const V lost = Ops::Sub(Ops::Sub(one, sum), p);
  // Exact, but 0 below the least subnormal; the products below round once.
  const V scale =
      Ops::Mul(Ops::ShiftIntoExponent(biased), Ops::Set(Layout::kUnscale));
  return {Ops::Mul(sum, scale), Ops::Mul(lost, scale)};
}

// An upper bound of 1 / (1 + z), close enough for one correction to finish it.
// Above, so that z - z R is exact (Sterbenz).
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V ReciprocalOfOnePlus(typename Ops::V z) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  V r = Horner<Ops, typename Polynomials<T>::Reciprocal>(z);
  if constexpr (sizeof(T) ==
                8) {  // 2^-15 is not close enough for 53 bits: a Newton step
    const V error = Ops::NegFma(r, Ops::Add(Ops::Set(T{1}), z),
                                Ops::Set(T{0x1p0 + 0x1p-29}));
    r = Ops::Fma(r, error, r);
  }
  return r;
}

// log1p(e^-y) for y >= 1, and e^-y / (1 + e^-y) for y >= 1/2.
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
  const V quadratic = Horner<Ops, typename Polynomials<T>::Log1p>(z.high);
  const V correction =
      Ops::Fma(Ops::Mul(z.high, z.high), quadratic, Ops::Mul(z.low, r));
  // q = z r is near z / (1 + z); its residual z - q (1 + z), plus low, is
  // corrected.
  const V q = Ops::Mul(z.high, r);
  const V residual =
      Ops::Add(Ops::NegFma(q, z.high, Ops::Sub(z.high, q)), z.low);
  return {Ops::Add(z.high, correction), Ops::Fma(residual, r, q)};
}

// Loss and derivative of one element before element weight and gradient scale.
template <class Ops>
struct ElementResult {
  typename Ops::V loss;
  typename Ops::V derivative;
};

// A and b of the formulas above, and A - b/2: what is left of both at x = 0.
template <class Ops>
struct Terms {
  typename Ops::V a;
  typename Ops::V both;
  typename Ops::V half;
};

// The loss for y < 1, where z is close to 1 and A y + b log1p(z) would cancel:
//   b ln(2) + (A - b/2) y + b y^2 C(y^2)
// What the first sum loses is kept. Even in A - b/2, and its steps in y are
// larger than its errors: monotone where the plain formula is not.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V LossNearZero(typename Ops::V y,
                                              const Terms<Ops>& terms) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V at_zero = Ops::Mul(terms.both, Ops::Set(ExponentLayout<T>::kLn2));
  const V line = Ops::Fma(terms.half, y, at_zero);
  const V lost = Ops::Fma(terms.half, y, Ops::Sub(at_zero, line));
  const V square = Ops::Mul(y, y);
  const V curve = Horner<Ops, typename Polynomials<T>::CenterLoss>(square);
  return Ops::Add(line, Ops::Fma(Ops::Mul(terms.both, square), curve, lost));
}

// A - b u for y < 1/2: (A - b/2) + b y S(y^2). Likewise.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V SlopeNearZero(typename Ops::V y,
                                               const Terms<Ops>& terms) {
  using T = typename Ops::T;
  const typename Ops::V curve =
      Horner<Ops, typename Polynomials<T>::CenterSlope>(Ops::Mul(y, y));
  return Ops::Fma(Ops::Mul(terms.both, y), curve, terms.half);
}

// `negative` is 1 - t, `positive` is t q, `both` their sum (see above).
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropyOfTerms(
    typename Ops::V x, typename Ops::V negative, typename Ops::V positive,
    typename Ops::V both) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V y = Ops::Abs(x);
  const TailResult<Ops> tail = Tail<Ops>(y);
  const V a = Ops::SelectNegative(x, positive, negative);
  const Terms<Ops> terms = {a, both, Ops::NegFma(both, Ops::Set(T{0.5}), a)};
  const V rest = Ops::Mul(both, tail.log1p);
  // Not a * y where a is 0: y may be infinite.
  const V far_loss = Ops::Select(Ops::IsZero(a), rest, Ops::Fma(a, y, rest));
  const V far_slope = Ops::NegFma(both, tail.share, a);
  const V loss =
      Ops::Select(Ops::IsBelow(y, T{1}), LossNearZero<Ops>(y, terms), far_loss);
  const V slope = Ops::Select(Ops::IsBelow(y, T{0.5}),
                              SlopeNearZero<Ops>(y, terms), far_slope);
  return {loss, Ops::FlipWhereNegative(x, slope)};
}

template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropy(typename Ops::V x,
                                                        typename Ops::V t) {
  const typename Ops::V one = Ops::Set(typename Ops::T{1});
  return SigmoidCrossEntropyOfTerms<Ops>(x, Ops::Sub(one, t), t, one);
}

// A target and its complement. Smoothing changes each by itself: 1 - t of a
// smoothed and rounded t would have few digits left where the smoothing is
// small, and would not be the mirrored element's t.
template <class Ops>
struct Sides {
  typename Ops::V t;
  typename Ops::V complement;
};

template <class Ops>
LOSSD_ELEMENT_FN Sides<Ops> SidesOf(typename Ops::V t) {
  return {t, Ops::Sub(Ops::Set(typename Ops::T{1}), t)};
}

// With label smoothing e: `factor` is 1 - e, `offset` is e / 2.
template <class Ops>
LOSSD_ELEMENT_FN Sides<Ops> Smoothed(const Sides<Ops>& sides,
                                     typename Ops::T factor,
                                     typename Ops::T offset) {
  const typename Ops::V f = Ops::Set(factor);
  const typename Ops::V o = Ops::Set(offset);
  return {Ops::Fma(sides.t, f, o), Ops::Fma(sides.complement, f, o)};
}

// With positive weight q. A weight of 1 gives the bits of the function above.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> WeightedSigmoidCrossEntropy(
    typename Ops::V x, const Sides<Ops>& sides, typename Ops::V q) {
  using V = typename Ops::V;
  const V one = Ops::Set(typename Ops::T{1});
  const V both =
      Ops::Select(Ops::IsOne(q), one, Ops::Fma(sides.t, q, sides.complement));
  return SigmoidCrossEntropyOfTerms<Ops>(x, sides.complement,
                                         Ops::Mul(sides.t, q), both);
}
