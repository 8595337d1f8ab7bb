// The sigmoid focal loss of one element. This body is included by
// kernels/element/element-inl.h.
//
// Let y = |x| and z = e^-y. `wrong` is the one of t and 1 - t that belongs to
// the class against which the logit's sign speaks, and `right` is the other
// one. A and B are the same two weights with the positive weight q on t. Then
//   1 - p_t = (wrong + right z) / (1 + z)
//   loss = alpha_t (1 - p_t)^gamma CE        CE = A (y + log1p(z)) + B log1p(z)
//   d loss / d y = alpha_t (1 - p_t)^gamma / (1 + z)
//                  [A - B z + gamma CE (wrong - right) z / (wrong + right z)]
// The power is computed from -log(1 - p_t), which is a softplus for hard
// targets. Exchanging (x, t, alpha) for (-x, 1 - t, 1 - alpha) leaves `wrong`
// and `right` as they are, so the loss is symmetric bit for bit.

// The terms that depend on how well the logit agrees with the target.
template <class Ops>
struct FocalTerms {
  Parts<Ops> distance;    // -log(1 - p_t)
  typename Ops::V ratio;  // z / (wrong + right z)
};

template <class Ops>
LOSSD_ELEMENT_FN FocalTerms<Ops> FocalTermsOf(const SoftplusResult<Ops>& s,
                                              typename Ops::V wrong,
                                              typename Ops::V right) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const V one = Ops::Set(T{1});
  const typename Ops::M is_right = Ops::IsZero(wrong);
  FocalTerms<Ops> terms = {SelectParts<Ops>(is_right, s.plus, s.minus),
                           Ops::Select(is_right, one, s.z.high)};
  const typename Ops::M hard = Ops::IsZero(Ops::Mul(wrong, right));
  if (Ops::All(hard)) return terms;
  const V sum = Ops::Fma(right, s.z.high, wrong);
  const Parts<Ops> log = LogOf<Ops>(sum, Ops::Sub(one, sum));
  Parts<Ops> soft = ExactSum<Ops>(s.minus.high, Ops::Neg(log.high));
  soft.low = Ops::Add(soft.low, Ops::Sub(s.minus.low, log.low));
  return {SelectParts<Ops>(hard, terms.distance, soft),
          Ops::Select(hard, terms.ratio, Ops::Div(s.z.high, sum))};
}

// Returns the cross-entropy a softplus(y) + b softplus(-y). An `a` of 0 removes
// the first term even where it is infinite.
template <class Ops>
LOSSD_ELEMENT_FN Parts<Ops> WeightedSoftplus(const SoftplusResult<Ops>& s,
                                             typename Ops::V a,
                                             typename Ops::V b) {
  using V = typename Ops::V;
  const V rest = Ops::Mul(b, s.minus.high);
  const V low = Ops::Fma(a, s.plus.low, Ops::Mul(b, s.minus.low));
  return {Ops::Select(Ops::IsZero(a), rest, Ops::Fma(a, s.plus.high, rest)),
          low};
}

// LOSS_KIND_SIGMOID_FOCAL.
template <class Ops>
class FocalLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit FocalLoss(const LossParameters& parameters)
      : gamma_(parameters.gamma_positive),
        alpha_positive_(static_cast<T>(parameters.alpha_positive)),
        alpha_negative_(static_cast<T>(parameters.alpha_negative)) {}

  LOSSD_ELEMENT_FN ElementResult<Ops> operator()(V x,
                                                 const TargetPair<Ops>& target,
                                                 V q) const {
    const V positive = Ops::Mul(target.t, q);
    const V wrong = Ops::SelectNegative(x, target.t, target.complement);
    const V right = Ops::SelectNegative(x, target.complement, target.t);
    const V a = Ops::SelectNegative(x, positive, target.complement);
    const V b = Ops::SelectNegative(x, target.complement, positive);
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    FocalTerms<Ops> terms = FocalTermsOf<Ops>(s, wrong, right);
    // Beyond the clamp the loss of a right logit is 0 whatever the power is.
    terms.distance.high =
        Ops::ClampAbove(terms.distance.high, ExponentLayout<T>::kClamp);
    const Parts<Ops> gamma = gamma_.template Get<Ops>();
    Exponential<Ops> power = PowerOf<Ops>(gamma, terms.distance);
    power.mantissa = Product<Ops>(Alpha(x, wrong, right), power.mantissa);
    const Parts<Ops> entropy = WeightedSoftplus<Ops>(s, a, b);
    // The ratio is 0 where the entropy is infinite: their product is 0.
    const V finite = Ops::ClampAbove(entropy.high, ExponentLayout<T>::kLargest);
    const V power_slope = Ops::Mul(Ops::Mul(finite, terms.ratio), gamma.high);
    // The negative of the bracket above: the derivative by -y.
    const V slope = Ops::Fma(power_slope, Ops::Sub(right, wrong),
                             Ops::FmaSub(b, s.z.high, a));
    const Parts<Ops> scaled = Product<Ops>(slope, SigmoidOf<Ops>(s.z));
    return {TimesPower<Ops>(power, entropy),
            Ops::FlipUnlessNegative(x, TimesPower<Ops>(power, scaled))};
  }

 private:
  // Returns alpha_t: alpha t + (1 - alpha) (1 - t).
  LOSSD_ELEMENT_FN V Alpha(V x, V wrong, V right) const {
    const V positive = Ops::Set(alpha_positive_);
    const V negative = Ops::Set(alpha_negative_);
    return Ops::Fma(
        Ops::SelectNegative(x, positive, negative), wrong,
        Ops::Mul(Ops::SelectNegative(x, negative, positive), right));
  }

  SplitScalar<T> gamma_;
  T alpha_positive_;
  T alpha_negative_;
};
