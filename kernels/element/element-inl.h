// The element functions: from one logit and one target to a loss and its
// derivative. They are written once, over an arithmetic policy, and every
// backend uses them. README.md walks through them.
//
// This file is a body without an include guard. Each backend includes it inside
// a namespace of its own, because a compiler applies an instruction set to the
// text that it is told to (GCC's target pragma, CUDA's __device__). Before that
// the backend
//   - includes kernels/element/polynomials.h and kernels/sigmoid_loss.h outside
//     of any namespace,
//   - defines LOSSD_ELEMENT_FN as what stands before a function (`inline`,
//   ...).
//
// The policy `Ops` has the element type T (float or double), V (one or more
// elements), M (a truth value for each element) and static functions. Each
// function is correctly rounded and therefore gives the same bits on every
// machine (D7):
//   Set(T)  Add  Sub  Mul  Div  Neg  Abs
//   Fma(a, b, c) = a b + c, NegFma(a, b, c) = c - a b and
//   FmaSub(a, b, c) = a b - c, rounded once
//   ClampAbove(a, T limit) = a > limit ? limit : a        (a NaN stays a NaN)
//   TimesPowerOfTwo(a, Exponent e) = a 2^n, rounded once, subnormals included
//   Scale(a, n) = a 2^n, rounded once, for integers n in [-252, 126]; in
//   float64 for n in [-2044, 1022]
//   IsZero(a)  IsOne(a)  IsBelow(a, T limit)  Select(m, a, b) = m ? a : b
//   HasNoSign(a): whether a's sign bit is 0; Differ(m, n). Only policies that
//   load targets as truth values have these two.
//   ExponentOf(a): the integer k for which a 2^-k is in [sqrt(1/2), sqrt(2));
//   a is positive and normal
//   All(m): whether m is true for every element. It may skip work whose result
//   nothing selects, but never chooses a result.
//   SelectNegative(x, a, b): a where x has its sign bit set, else b
//   FlipUnlessNegative(x, a): -a where x has no sign bit, else a
//
// A loss is a class over Ops that is constructed from LossParameters. Its call
// operator takes a logit, the target pair and the positive weight. It has a
// file of its own in kernels/element/ and a case in WithLoss().

// The loss and the derivative of one element, before element weight and
// gradient scale.
template <class Ops>
struct ElementResult {
  typename Ops::V loss;
  typename Ops::V derivative;
};

// A loss, or one term of a loss, and its slope: the derivative by y = |x|
// unless a function says otherwise.
template <class Ops>
struct LossAndSlope {
  typename Ops::V loss;
  typename Ops::V slope;
};

// A target and its complement 1 - t. Label smoothing changes each by itself: 1
// - t of a smoothed and rounded t would have few digits left where the
// smoothing is small, and would not be the t of the mirrored element.
template <class Ops>
struct TargetPair {
  typename Ops::V t;
  typename Ops::V complement;
};

template <class Ops>
LOSSD_ELEMENT_FN TargetPair<Ops> TargetPairOf(typename Ops::V t) {
  return {t, Ops::Sub(Ops::Set(typename Ops::T{1}), t)};
}

// Returns the pair under label smoothing e: `factor` is 1 - e, `offset` is e
// / 2.
template <class Ops>
LOSSD_ELEMENT_FN TargetPair<Ops> Smoothed(const TargetPair<Ops>& target,
                                          typename Ops::T factor,
                                          typename Ops::T offset) {
  const typename Ops::V f = Ops::Set(factor);
  const typename Ops::V o = Ops::Set(offset);
  return {Ops::Fma(target.t, f, o), Ops::Fma(target.complement, f, o)};
}

// clang-format off
#include "kernels/element/exponential-inl.h"
#include "kernels/element/cross_entropy-inl.h"
#include "kernels/element/logarithm-inl.h"
#include "kernels/element/focal-inl.h"
#include "kernels/element/asymmetric-inl.h"
// clang-format on

// Returns true if the parameters turn a loss with powers into the
// cross-entropy.
LOSSD_ELEMENT_FN bool HasNoPowers(const LossParameters& parameters) {
  return parameters.gamma_positive == 0 && parameters.gamma_negative == 0 &&
         parameters.alpha_positive == 1 && parameters.alpha_negative == 1 &&
         parameters.margin == 0;
}

// Calls `use` with the loss of a kind. A loss whose parameters make it the
// cross-entropy is computed by CrossEntropyLoss and therefore has its bits.
template <class Ops, class Use>
LOSSD_ELEMENT_FN auto WithLoss(LossKind kind, const LossParameters& parameters,
                               Use use) {
  switch (kind) {  // no default: the compiler reports a kind that is left out
    case LossKind::kSigmoidCrossEntropy:
      break;
    case LossKind::kSigmoidFocal:
      if (HasNoPowers(parameters)) break;
      return use(FocalLoss<Ops>(parameters));
    case LossKind::kAsymmetric:
      if (HasNoPowers(parameters)) break;
      return parameters.margin == 0
                 ? use(AsymmetricLoss<Ops>(parameters))
                 : use(AsymmetricMarginLoss<Ops>(parameters));
  }
  return use(CrossEntropyLoss<Ops>(parameters));
}
