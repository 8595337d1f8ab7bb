// The element functions: one logit, one target, a loss and its derivative.
// Written once, over an arithmetic policy, and used by every backend.
//
// This file is a body, and on purpose has no include guard: each backend
// includes it inside a namespace of its own, because a compiler applies an
// instruction set to the text that it is told to (GCC's target pragma, CUDA's
// __device__). Before that, it
//   - includes kernels/element/polynomials.h and kernels/sigmoid_loss.h,
//   outside any
//     namespace of its own,
//   - defines LOSSD_ELEMENT_FN, what stands before a function (`inline`, ...).
//
// The policy `Ops` has the element type T (float or double), V (one or more of
// them), M (a truth value for each) and static functions, each correctly
// rounded and so the same bits on every machine:
//   Set(T)  Add  Sub  Mul  Div  Neg  Abs
//   Fma(a, b, c) = a b + c, NegFma(a, b, c) = c - a b and
//   FmaSub(a, b, c) = a b - c, rounded once
//   ClampAbove(a, T limit) = a > limit ? limit : a        (a NaN stays a NaN)
//   TimesPowerOfTwo(a, Exponent e) = a 2^n, rounded once, subnormals included
//   Scale(a, n) = a 2^n, rounded once, for integers n in [-252, 126], for
//   float64 [-2044, 1022]
//   IsZero(a)  IsOne(a)  IsBelow(a, T limit)  Select(m, a, b) = m ? a : b
//   HasNoSign(a): whether its sign bit is not set; Differ(m, n). Only of
//   policies that load targets as truth values.
//   ExponentOf(a): the integer k for which a 2^-k is in [sqrt(1/2), sqrt(2));
//   a is positive and normal
//   All(m): whether m is true throughout; to skip work whose result nothing
//   selects, never to choose a result
//   SelectNegative(x, a, b): a where x has its sign bit set, else b
//   FlipUnlessNegative(x, a): a, with its sign turned where x has no sign bit
//
// A loss is a struct over Ops, made of LossParameters, whose call operator
// takes a logit, the target's two sides and the positive weight. It has a file
// of its own in kernels/element/ and a line in WithLoss().

// Loss and derivative of one element before element weight and gradient scale.
template <class Ops>
struct ElementResult {
  typename Ops::V loss;
  typename Ops::V derivative;
};

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

// clang-format off
#include "kernels/element/exponential-inl.h"
#include "kernels/element/cross_entropy-inl.h"
#include "kernels/element/logarithm-inl.h"
#include "kernels/element/focal-inl.h"
#include "kernels/element/asymmetric-inl.h"
// clang-format on

// True if the parameters make a loss of powers the cross-entropy itself.
LOSSD_ELEMENT_FN bool HasNoPowers(const LossParameters& parameters) {
  return parameters.gamma_positive == 0 && parameters.gamma_negative == 0 &&
         parameters.alpha_positive == 1 && parameters.alpha_negative == 1 &&
         parameters.margin == 0;
}

// Calls `use` with the loss of a kind. A loss whose parameters make it the
// cross-entropy has its bits, because it is that one.
template <class Ops, class Use>
LOSSD_ELEMENT_FN auto WithLoss(LossKind kind, const LossParameters& parameters,
                               Use use) {
  switch (kind) {  // without a default: the compiler names a kind left out
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
