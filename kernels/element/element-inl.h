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
//   ZeroWhere(m, a) = m ? 0 : a and ZeroUnless(m, a) = m ? a : 0
//   HasNoSign(a): whether a's sign bit is 0; Differ(m, n). Only policies that
//   load targets as truth values have these two.
//   ExponentOf(a): the integer k for which a 2^-k is in [sqrt(1/2), sqrt(2));
//   a is positive and normal
//   All(m): whether m is true for every element. It may skip work whose result
//   nothing selects, but never chooses a result.
//   SelectNegative(x, a, b): a where x has its sign bit set, else b
//   FlipUnlessNegative(x, a): -a where x has no sign bit, else a
//
// A loss is a class over Ops that is constructed from LossParameters. Its
// function At<kSecond>() takes a logit, the target pair and the positive
// weight. It has a file of its own in kernels/element/ and a case in
// WithLoss().
//
// kSecond says whether the second derivative is computed. It adds operations
// and changes none, so loss and derivative have the same bits either way.

// The loss of one element and its derivatives, before element weight and
// gradient scale.
template <class Ops>
struct ElementResult {
  typename Ops::V loss;
  typename Ops::V derivative;
  typename Ops::V second;  // with kSecond, else 0
};

// A loss, or one term of a loss, and its derivatives by y = |x| unless a
// function says otherwise. The second derivative by y is that by x.
template <class Ops>
struct LossAndSlope {
  typename Ops::V loss;
  typename Ops::V slope;
  typename Ops::V second;  // with kSecond, else 0
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

// Label smoothing e towards the prior p: t becomes t (1 - e) + e p.
template <class T>
struct Smoothing {
  T factor;      // 1 - e
  T positive;    // e p
  T complement;  // e (1 - p)
};

template <class Ops>
LOSSD_ELEMENT_FN TargetPair<Ops> Smoothed(
    const TargetPair<Ops>& target, const Smoothing<typename Ops::T>& by) {
  const typename Ops::V factor = Ops::Set(by.factor);
  return {Ops::Fma(target.t, factor, Ops::Set(by.positive)),
          Ops::Fma(target.complement, factor, Ops::Set(by.complement))};
}

// clang-format off
#include "kernels/element/exponential-inl.h"
#include "kernels/element/cross_entropy-inl.h"
#include "kernels/element/logarithm-inl.h"
#include "kernels/element/curvature-inl.h"
#include "kernels/element/focal-inl.h"
#include "kernels/element/asymmetric-inl.h"
#include "kernels/element/quality_focal-inl.h"
#include "kernels/element/varifocal-inl.h"
// clang-format on

// Returns true if the parameters turn a loss with powers into the
// cross-entropy.
LOSSD_ELEMENT_FN bool HasNoPowers(const LossParameters& parameters) {
  return parameters.gamma_positive == 0 && parameters.gamma_negative == 0 &&
         parameters.alpha_positive == 1 && parameters.alpha_negative == 1 &&
         parameters.margin == 0 && parameters.epsilon == 0;
}

// Calls `use` with the loss of a kind. A loss whose parameters make it a
// simpler one is computed by that one's class and therefore has its bits.
template <class Ops, class Use>
LOSSD_ELEMENT_FN auto WithLoss(LossKind kind, const LossParameters& parameters,
                               Use use) {
  if (kind != LossKind::kVarifocal && HasNoPowers(parameters)) {
    kind = LossKind::kSigmoidCrossEntropy;
  }
  switch (kind) {  // no default: the compiler reports a kind that is left out
    case LossKind::kSigmoidCrossEntropy:
      break;
    case LossKind::kSigmoidFocal:
    case LossKind::kPoly:
      if (parameters.mixes_soft_targets) {
        return parameters.epsilon == 0
                   ? use(AsymmetricLoss<Ops, false>(parameters))
                   : use(AsymmetricLoss<Ops, true>(parameters));
      }
      return parameters.epsilon == 0 ? use(FocalLoss<Ops, false>(parameters))
                                     : use(FocalLoss<Ops, true>(parameters));
    case LossKind::kAsymmetric:
      return parameters.margin == 0
                 ? use(AsymmetricLoss<Ops, false>(parameters))
                 : use(AsymmetricMarginLoss<Ops>(parameters));
    case LossKind::kQualityFocal:
      return use(QualityFocalLoss<Ops>(parameters));
    case LossKind::kVarifocal:
      return use(VarifocalLoss<Ops>(parameters));
  }
  return use(CrossEntropyLoss<Ops>(parameters));
}
