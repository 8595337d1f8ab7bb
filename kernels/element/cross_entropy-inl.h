// The sigmoid cross-entropy of one element. This body is included by
// kernels/element/element-inl.h.
//
// With y = |x|, z = e^-y, u = z / (1 + z), target t, and `a` the wrong weight:
// the target's weight on the class against which the logit's sign speaks
// (x < 0 ? t : 1 - t),
//   loss = a y + log1p(z)           derivative = x < 0 ? u - a : a - u
//   second derivative = u (1 - u), whatever the target is
// These equal t sp(-x) + (1 - t) sp(x) and its derivative, but nothing cancels
// in the tails. Exchanging (x, t) for (-x, 1 - t) leaves `a` as it is, so
// loss(x, 1) == loss(-x, 0) and derivative(x, 1) == -derivative(-x, 0) bit for
// bit (D9).
//
// For y < 1, where z is close to 1, these formulas would cancel or step back.
// There both results come from their expansion around 0 (D8):
//   loss  = ln(2) + [(a - 1/2) y + y^2 C(y^2)]
//   u - a = [-y/4 + y^3 S(y^2)] - (a - 1/2)
//   u (1 - u) = 1/4 - [-y/4 + y^3 S(y^2)]^2
// Each bracket is rounded once, and from one y to the next it changes by more
// than its rounding error. Hence both results are monotone.
//
// With positive weight q, the factor t q + (1 - t) is taken out of both:
//   b = t q + (1 - t)               a = (x < 0 ? t q : 1 - t) / b
// and all results are multiplied by b. For a hard target `a` is then 0 or 1
// again, and the weight adds only one rounding.

// The wrong weight of any target: `a` of the formulas.
template <class Ops>
struct WrongWeight {
  using V = typename Ops::V;
  V a;
  // Returns a v + c, rounded once.
  LOSSD_ELEMENT_FN V TimesPlus(V v, V c) const { return Ops::Fma(a, v, c); }
  // Returns v - a.
  LOSSD_ELEMENT_FN V SubtractedFrom(V v) const { return Ops::Sub(v, a); }
  // Returns a - 1/2.
  LOSSD_ELEMENT_FN V MinusHalf() const {
    return Ops::Sub(a, Ops::Set(typename Ops::T{0.5}));
  }
  LOSSD_ELEMENT_FN typename Ops::M IsZero() const { return Ops::IsZero(a); }
};

// The wrong weight of a target that is 0 or 1: 1 where the logit's sign is
// wrong, else 0. It gives the bits of WrongWeight with fewer operations.
template <class Ops>
struct HardWrongWeight {
  using T = typename Ops::T;
  using V = typename Ops::V;
  typename Ops::M wrong;
  LOSSD_ELEMENT_FN V TimesPlus(V v, V c) const {
    return Ops::Select(wrong, Ops::Add(c, v), c);
  }
  LOSSD_ELEMENT_FN V SubtractedFrom(V v) const {
    return Ops::Select(wrong, Ops::Sub(v, Ops::Set(T{1})), v);
  }
  LOSSD_ELEMENT_FN V MinusHalf() const {
    return Ops::Select(wrong, Ops::Set(T{0.5}), Ops::Set(T{-0.5}));
  }
};

// Returns the loss, u - a and u (1 - u) for y < 1.
template <class Ops, bool kSecond, class Weight>
LOSSD_ELEMENT_FN LossAndSlope<Ops> NearZero(typename Ops::V y,
                                            const Weight& weight) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V half = weight.MinusHalf();
  const V square = Ops::Mul(y, y);
  const V loss_curve = Horner<Ops, typename Polynomials<T>::CenterLoss>(square);
  const V loss_bracket = Ops::Fma(square, loss_curve, Ops::Mul(half, y));
  const V slope_curve =
      Horner<Ops, typename Polynomials<T>::CenterSlope>(square);
  const V slope_bracket = Ops::Fma(Ops::Mul(y, square), slope_curve,
                                   Ops::Mul(y, Ops::Set(T{-0.25})));
  V second = Ops::Set(0);
  if constexpr (kSecond) {
    second = Ops::NegFma(slope_bracket, slope_bracket, Ops::Set(T{0.25}));
  }
  return {Ops::Add(Ops::Set(ExponentLayout<T>::kLn2), loss_bracket),
          Ops::Sub(slope_bracket, half), second};
}

// Returns the cross-entropy of a logit and its wrong weight; `z` is e^-|x|.
// With kFinite the logit must be finite: where `a` is 0 and x infinite, the
// loss would be a NaN instead of 0. The derivatives are right for every x.
template <class Ops, bool kFinite, bool kSecond, class Weight>
LOSSD_ELEMENT_FN ElementResult<Ops> CrossEntropyOf(typename Ops::V x,
                                                   const Weight& weight,
                                                   const ExpResult<Ops>& z) {
  using V = typename Ops::V;
  const V y = Ops::Abs(x);
  const TailResult<Ops> tail = Tail<Ops, kSecond>(z);
  V tail_loss = weight.TimesPlus(y, tail.log1p);
  if constexpr (!kFinite) {
    tail_loss = Ops::Select(weight.IsZero(), tail.log1p, tail_loss);
  }
  const LossAndSlope<Ops> near = NearZero<Ops, kSecond>(y, weight);
  const auto is_near = Ops::IsBelow(y, typename Ops::T{1});
  return {Ops::Select(is_near, near.loss, tail_loss),
          Ops::FlipUnlessNegative(
              x, Ops::Select(is_near, near.slope,
                             weight.SubtractedFrom(tail.sigmoid))),
          Ops::Select(is_near, near.second, tail.curve)};
}

// Returns e^-|x|, which the functions here take as `z`. It is apart from them
// so that a loop can compute it before they need it.
template <class Ops>
LOSSD_ELEMENT_FN ExpResult<Ops> ExpOfMinusAbs(typename Ops::V x) {
  return ExpOfMinus<Ops>(Ops::Abs(x));
}

template <class Ops, bool kFinite, bool kSecond = false, class Weight>
LOSSD_ELEMENT_FN ElementResult<Ops> CrossEntropyOf(typename Ops::V x,
                                                   const Weight& weight) {
  return CrossEntropyOf<Ops, kFinite, kSecond>(x, weight,
                                               ExpOfMinusAbs<Ops>(x));
}

// Returns the cross-entropy of a finite logit, without options.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropy(
    typename Ops::V x, typename Ops::V t, const ExpResult<Ops>& z) {
  const typename Ops::V one = Ops::Set(typename Ops::T{1});
  return CrossEntropyOf<Ops, true, kSecond>(
      x, WrongWeight<Ops>{Ops::SelectNegative(x, t, Ops::Sub(one, t))}, z);
}
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> SigmoidCrossEntropy(typename Ops::V x,
                                                        typename Ops::V t) {
  return SigmoidCrossEntropy<Ops, false>(x, t, ExpOfMinusAbs<Ops>(x));
}

// Returns the cross-entropy of a finite logit whose target is 1 where
// `positive` is true, else 0.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN ElementResult<Ops> HardSigmoidCrossEntropy(
    typename Ops::V x, typename Ops::M positive, const ExpResult<Ops>& z) {
  return CrossEntropyOf<Ops, true, kSecond>(
      x, HardWrongWeight<Ops>{Ops::Differ(Ops::HasNoSign(x), positive)}, z);
}

// Returns a y and its derivative by x: the loss that is left where b is 0, `a`
// then being the undivided weight. b is 0 for a positive target of weight 0,
// and targets outside [0, 1] may also cancel.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> LinearLoss(typename Ops::V x,
                                               typename Ops::V a) {
  using V = typename Ops::V;
  const V y = Ops::Abs(x);
  const V finite =
      Ops::ClampAbove(y, ExponentLayout<typename Ops::T>::kLargest);
  // The product is 0, or a NaN for a NaN logit, whose derivative is then a NaN.
  const V slope = Ops::Sub(Ops::Mul(finite, Ops::Set(0)), a);
  return {Ops::Mul(a, Ops::Select(Ops::IsZero(a), finite, y)),
          Ops::FlipUnlessNegative(x, slope), Ops::Set(0)};
}

// Returns the cross-entropy of any logit with positive weight q. A weight of 1
// gives the bits of SigmoidCrossEntropy().
template <class Ops, bool kSecond = false>
LOSSD_ELEMENT_FN ElementResult<Ops> WeightedSigmoidCrossEntropy(
    typename Ops::V x, const TargetPair<Ops>& target, typename Ops::V q) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  // A target of 0 takes no positive weight: an infinite one would give a NaN.
  q = Ops::Select(Ops::IsZero(target.t), Ops::Set(T{1}), q);
  const typename Ops::M unweighted = Ops::IsOne(q);
  if (Ops::All(unweighted)) {
    return CrossEntropyOf<Ops, false, kSecond>(
        x,
        WrongWeight<Ops>{Ops::SelectNegative(x, target.t, target.complement)});
  }
  const V both = Ops::Select(unweighted, Ops::Set(T{1}),
                             Ops::Fma(target.t, q, target.complement));
  const V wrong =
      Ops::SelectNegative(x, Ops::Mul(target.t, q), target.complement);
  // Both are clamped, so that an infinite weight leaves a finite quotient.
  constexpr T largest = ExponentLayout<T>::kLargest;
  const V a =
      Ops::Div(Ops::ClampAbove(wrong, largest), Ops::ClampAbove(both, largest));
  const ElementResult<Ops> result =
      CrossEntropyOf<Ops, false, kSecond>(x, WrongWeight<Ops>{a});
  const ElementResult<Ops> linear = LinearLoss<Ops>(x, wrong);
  const typename Ops::M is_linear = Ops::IsZero(both);
  return {Ops::Select(is_linear, linear.loss, Ops::Mul(both, result.loss)),
          Ops::Select(is_linear, linear.derivative,
                      Ops::Mul(both, result.derivative)),
          Ops::Mul(both, result.second)};
}

// LOSS_KIND_SIGMOID_CROSS_ENTROPY.
template <class Ops>
struct CrossEntropyLoss {
  LOSSD_ELEMENT_FN explicit CrossEntropyLoss(const LossParameters&) {}
  template <bool kSecond>
  LOSSD_ELEMENT_FN ElementResult<Ops> At(typename Ops::V x,
                                         const TargetPair<Ops>& target,
                                         typename Ops::V q) const {
    return WeightedSigmoidCrossEntropy<Ops, kSecond>(x, target, q);
  }
};
