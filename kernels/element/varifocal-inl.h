// The varifocal loss of one element. This body is included by
// kernels/element/element-inl.h.
//
// For t > 0 it is t times the cross-entropy, and for t = 0 it is alpha times
// the asymmetric loss of a negative. Their derivatives are the full ones.

// LOSS_KIND_VARIFOCAL.
template <class Ops>
class VarifocalLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit VarifocalLoss(const LossParameters& parameters)
      : gamma_(parameters.gamma_negative, parameters.slope_negative),
        alpha_(static_cast<T>(parameters.alpha_negative)) {}

  template <bool kSecond>
  LOSSD_ELEMENT_FN ElementResult<Ops> At(V x, const TargetPair<Ops>& target,
                                         V q) const {
    const ElementResult<Ops> entropy =
        WeightedSigmoidCrossEntropy<Ops, kSecond>(x, target, q);
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    const Gamma<Ops> gamma = gamma_.template Get<Ops>();
    const V alpha = Ops::Set(alpha_);
    const LossAndSlope<Ops> wrong =
        WrongTerm<Ops, kSecond>(s, sigmoid, gamma, alpha);
    const LossAndSlope<Ops> right =
        RightTerm<Ops, kSecond>(s, sigmoid, gamma, alpha);
    const typename Ops::M negative = Ops::IsZero(target.t);
    const auto choose = [&](V of_right, V of_wrong, V of_positive) {
      return Ops::Select(negative, Ops::SelectNegative(x, of_right, of_wrong),
                         Ops::Mul(target.t, of_positive));
    };
    // Both terms of a negative rise with x.
    return {choose(right.loss, wrong.loss, entropy.loss),
            choose(right.slope, wrong.slope, entropy.derivative),
            choose(right.second, wrong.second, entropy.second)};
  }

 private:
  GammaScalar<T> gamma_;
  T alpha_;
};
