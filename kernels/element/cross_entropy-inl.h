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
//
// For y < 1 both are taken from their expansion around 0, where z is close to 1
// and the formulas would cancel or step back:
//   loss  = b ln(2) + [(A - b/2) y + b y^2 C(y^2)]
//   b u - A = b [-y/4 + y^3 S(y^2)] - (A - b/2)
// What stands in brackets is rounded once and steps further, from one y to the
// next, than it errs; hence both are monotone.

// b of the formulas: 1 without a positive weight, or a number. The same bits
// where the number is 1.
template <class Ops>
struct UnitFactor {
  using V = typename Ops::V;
  LOSSD_ELEMENT_FN V Times(V v) const { return v; }
  LOSSD_ELEMENT_FN V TimesPlus(V v, V c) const { return Ops::Add(v, c); }
  LOSSD_ELEMENT_FN V TimesMinus(V v, V c) const { return Ops::Sub(v, c); }
  LOSSD_ELEMENT_FN V HalfBelow(V c) const {
    return Ops::Sub(c, Ops::Set(typename Ops::T{0.5}));
  }
};

template <class Ops>
struct Factor {
  using V = typename Ops::V;
  V b;
  LOSSD_ELEMENT_FN V Times(V v) const { return Ops::Mul(b, v); }
  LOSSD_ELEMENT_FN V TimesPlus(V v, V c) const { return Ops::Fma(b, v, c); }
  LOSSD_ELEMENT_FN V TimesMinus(V v, V c) const { return Ops::FmaSub(b, v, c); }
  LOSSD_ELEMENT_FN V HalfBelow(V c) const {  // c - b/2
    return Ops::NegFma(b, Ops::Set(typename Ops::T{0.5}), c);
  }
};

// Loss, and b u - A: the derivative but for the sign.
template <class Ops>
struct Branch {
  typename Ops::V loss;
  typename Ops::V slope;
};

// For y < 1.
template <class Ops, class Both>
LOSSD_ELEMENT_FN Branch<Ops> NearZero(typename Ops::V y, typename Ops::V a,
                                      const Both& both) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V half = both.HalfBelow(a);
  const V square = Ops::Mul(y, y);
  const V loss_curve = Horner<Ops, typename Polynomials<T>::CenterLoss>(square);
  const V bent = Ops::Fma(both.Times(square), loss_curve, Ops::Mul(half, y));
  const V slope_curve =
      Horner<Ops, typename Polynomials<T>::CenterSlope>(square);
  const V turned = Ops::Fma(Ops::Mul(y, square), slope_curve,
                            Ops::Mul(y, Ops::Set(T{-0.25})));
  return {both.TimesPlus(Ops::Set(ExponentLayout<T>::kLn2), bent),
          both.TimesMinus(turned, half)};
}

// `negative` is 1 - t, `positive` is t q, `both` their sum (see above).
// kFinite: where A is 0 and x infinite, the loss is a NaN instead of 0; the
// derivative is right.
template <class Ops, bool kFinite, class Both>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropyOfTerms(
    typename Ops::V x, typename Ops::V negative, typename Ops::V positive,
    const Both& both) {
  using V = typename Ops::V;
  const V y = Ops::Abs(x);
  const V a = Ops::SelectNegative(x, positive, negative);
  const TailResult<Ops> tail = Tail<Ops>(y);
  const V rest = both.Times(tail.log1p);
  V far_loss = Ops::Fma(a, y, rest);
  if constexpr (!kFinite)
    far_loss = Ops::Select(Ops::IsZero(a), rest, far_loss);
  const V far_slope = both.TimesMinus(tail.share, a);
  const Branch<Ops> near = NearZero<Ops>(y, a, both);
  const auto is_near = Ops::IsBelow(y, typename Ops::T{1});
  return {
      Ops::Select(is_near, near.loss, far_loss),
      Ops::FlipUnlessNegative(x, Ops::Select(is_near, near.slope, far_slope))};
}

// Of finite logits (kFinite above), without options.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropy(typename Ops::V x,
                                                        typename Ops::V t) {
  const typename Ops::V one = Ops::Set(typename Ops::T{1});
  return SigmoidCrossEntropyOfTerms<Ops, true>(x, Ops::Sub(one, t), t,
                                               UnitFactor<Ops>());
}

// Of any logits, with positive weight q. A weight of 1 gives the bits of the
// function above.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> WeightedSigmoidCrossEntropy(
    typename Ops::V x, const Sides<Ops>& sides, typename Ops::V q) {
  using V = typename Ops::V;
  const V one = Ops::Set(typename Ops::T{1});
  const V both =
      Ops::Select(Ops::IsOne(q), one, Ops::Fma(sides.t, q, sides.complement));
  return SigmoidCrossEntropyOfTerms<Ops, false>(
      x, sides.complement, Ops::Mul(sides.t, q), Factor<Ops>{both});
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
