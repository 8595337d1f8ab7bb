// The sigmoid cross-entropy of one element. A body, included by
// kernels/element.h.
//
// Formulas: with y = |x|, z = e^-y, u = z / (1 + z), target t and positive
// weight q,
//   A = x < 0 ? t q : 1 - t         b = t q + (1 - t)
//   loss = A y + b log1p(z)         derivative = x < 0 ? b u - A : A - b u
// which is t q sp(-x) + (1 - t) sp(x) and its derivative, with nothing that
// cancels in the tails. Exchanging (x, t) for (-x, 1 - t) exchanges the two
// cases of A and changes nothing else, so loss(x, 1) == loss(-x, 0) and
// derivative(x, 1) == -derivative(-x, 0) bit for bit.

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

// LOSS_KIND_SIGMOID_CROSS_ENTROPY.
template <class Ops>
struct CrossEntropyLoss {
  LOSSD_ELEMENT_FN explicit CrossEntropyLoss(const LossParameters&) {}
  LOSSD_ELEMENT_FN ElementResult<Ops> operator()(typename Ops::V x,
                                                 const Sides<Ops>& sides,
                                                 typename Ops::V q) const {
    return WeightedSigmoidCrossEntropy<Ops>(x, sides, q);
  }
};
