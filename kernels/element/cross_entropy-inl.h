// The sigmoid cross-entropy of one element. A body, included by
// kernels/element/element-inl.h.
//
// Formulas: with y = |x|, z = e^-y, u = z / (1 + z), target t, and `a` the side
// of the target that the logit's sign speaks against (x < 0 ? t : 1 - t),
//   loss = a y + log1p(z)           derivative = x < 0 ? u - a : a - u
// which is t sp(-x) + (1 - t) sp(x) and its derivative, with nothing that
// cancels in the tails. Exchanging (x, t) for (-x, 1 - t) leaves `a` as it is,
// so loss(x, 1) == loss(-x, 0) and derivative(x, 1) == -derivative(-x, 0) bit
// for bit.
//
// For y < 1 both are taken from their expansion around 0, where z is close to 1
// and the formulas would cancel or step back:
//   loss  = ln(2) + [(a - 1/2) y + y^2 C(y^2)]
//   u - a = [-y/4 + y^3 S(y^2)] - (a - 1/2)
// What stands in brackets is rounded once and steps further, from one y to the
// next, than it errs; hence both are monotone.
//
// With positive weight q, t q + (1 - t) is taken out of both:
//   b = t q + (1 - t)               a = (x < 0 ? t q : 1 - t) / b
// times b. A hard target's `a` is then 0 or 1 again, and only one rounding is
// added.

// Loss, and u - a: the derivative but for the sign.
template <class Ops>
struct Branch {
  typename Ops::V loss;
  typename Ops::V slope;
};

// `a` of the formulas, of any target.
template <class Ops>
struct SoftSide {
  using V = typename Ops::V;
  V a;
  // a v + c, v - a and a - 1/2
  LOSSD_ELEMENT_FN V TimesPlus(V v, V c) const { return Ops::Fma(a, v, c); }
  LOSSD_ELEMENT_FN V Below(V v) const { return Ops::Sub(v, a); }
  LOSSD_ELEMENT_FN V BeyondHalf() const {
    return Ops::Sub(a, Ops::Set(typename Ops::T{0.5}));
  }
  LOSSD_ELEMENT_FN typename Ops::M IsNone() const { return Ops::IsZero(a); }
};

// `a` of a target that is 0 or 1: 1 where it is wrong. The same bits with fewer
// operations.
template <class Ops>
struct HardSide {
  using T = typename Ops::T;
  using V = typename Ops::V;
  typename Ops::M wrong;
  LOSSD_ELEMENT_FN V TimesPlus(V v, V c) const {
    return Ops::Select(wrong, Ops::Add(c, v), c);
  }
  LOSSD_ELEMENT_FN V Below(V v) const {
    return Ops::Select(wrong, Ops::Sub(v, Ops::Set(T{1})), v);
  }
  LOSSD_ELEMENT_FN V BeyondHalf() const {
    return Ops::Select(wrong, Ops::Set(T{0.5}), Ops::Set(T{-0.5}));
  }
};

// For y < 1 (D8).
template <class Ops, class Side>
LOSSD_ELEMENT_FN Branch<Ops> NearZero(typename Ops::V y, const Side& side) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V half = side.BeyondHalf();
  const V square = Ops::Mul(y, y);
  const V loss_curve = Horner<Ops, typename Polynomials<T>::CenterLoss>(square);
  const V bent = Ops::Fma(square, loss_curve, Ops::Mul(half, y));
  const V slope_curve =
      Horner<Ops, typename Polynomials<T>::CenterSlope>(square);
  const V turned = Ops::Fma(Ops::Mul(y, square), slope_curve,
                            Ops::Mul(y, Ops::Set(T{-0.25})));
  return {Ops::Add(Ops::Set(ExponentLayout<T>::kLn2), bent),
          Ops::Sub(turned, half)};
}

// kFinite: where `a` is 0 and x infinite, the loss is a NaN instead of 0; the
// derivative is right.
template <class Ops, bool kFinite, class Side>
LOSSD_ELEMENT_FN ElementResult<Ops> CrossEntropyOfSide(typename Ops::V x,
                                                       const Side& side) {
  using V = typename Ops::V;
  const V y = Ops::Abs(x);
  const TailResult<Ops> tail = Tail<Ops>(y);
  V far_loss = side.TimesPlus(y, tail.log1p);
  if constexpr (!kFinite) {
    far_loss = Ops::Select(side.IsNone(), tail.log1p, far_loss);
  }
  const Branch<Ops> near = NearZero<Ops>(y, side);
  const auto is_near = Ops::IsBelow(y, typename Ops::T{1});
  return {Ops::Select(is_near, near.loss, far_loss),
          Ops::FlipUnlessNegative(
              x, Ops::Select(is_near, near.slope, side.Below(tail.share)))};
}

// Of finite logits (kFinite above), without options.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropy(typename Ops::V x,
                                                        typename Ops::V t) {
  const typename Ops::V one = Ops::Set(typename Ops::T{1});
  return CrossEntropyOfSide<Ops, true>(
      x, SoftSide<Ops>{Ops::SelectNegative(x, t, Ops::Sub(one, t))});
}

// The same for targets 0 and 1: `positive` says which are 1.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> HardSigmoidCrossEntropy(
    typename Ops::V x, typename Ops::M positive) {
  return CrossEntropyOfSide<Ops, true>(
      x, HardSide<Ops>{Ops::Differ(Ops::HasNoSign(x), positive)});
}

// What is left where b is 0: side y and its derivative. Both sides are 0 for a
// positive target of weight 0; targets out of [0, 1] may also cancel.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> WithoutCurve(typename Ops::V x,
                                                 typename Ops::V side) {
  using V = typename Ops::V;
  const V y = Ops::Abs(x);
  const V finite =
      Ops::ClampAbove(y, ExponentLayout<typename Ops::T>::kLargest);
  // A NaN logit has a NaN derivative, too.
  const V slope = Ops::Sub(Ops::Mul(finite, Ops::Set(0)), side);
  return {Ops::Mul(side, Ops::Select(Ops::IsZero(side), finite, y)),
          Ops::FlipUnlessNegative(x, slope)};
}

// Of any logits, with positive weight q. A weight of 1 gives the bits of the
// function above.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> WeightedSigmoidCrossEntropy(
    typename Ops::V x, const Sides<Ops>& sides, typename Ops::V q) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  // No weight of a target that is not positive: 0 times an infinite one.
  q = Ops::Select(Ops::IsZero(sides.t), Ops::Set(T{1}), q);
  const typename Ops::M unweighted = Ops::IsOne(q);
  if (Ops::All(unweighted)) {
    return CrossEntropyOfSide<Ops, false>(
        x, SoftSide<Ops>{Ops::SelectNegative(x, sides.t, sides.complement)});
  }
  const V both = Ops::Select(unweighted, Ops::Set(T{1}),
                             Ops::Fma(sides.t, q, sides.complement));
  const V side = Ops::SelectNegative(x, Ops::Mul(sides.t, q), sides.complement);
  // Clamped, so that an infinite weight leaves a share.
  constexpr T largest = ExponentLayout<T>::kLargest;
  const V share =
      Ops::Div(Ops::ClampAbove(side, largest), Ops::ClampAbove(both, largest));
  const ElementResult<Ops> result =
      CrossEntropyOfSide<Ops, false>(x, SoftSide<Ops>{share});
  const ElementResult<Ops> line = WithoutCurve<Ops>(x, side);
  const typename Ops::M straight = Ops::IsZero(both);
  return {Ops::Select(straight, line.loss, Ops::Mul(both, result.loss)),
          Ops::Select(straight, line.derivative,
                      Ops::Mul(both, result.derivative))};
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
