// The sigmoid focal loss of one element, and the polynomial loss made of it.
// This body is included by kernels/element/element-inl.h.
//
// Let y = |x| and z = e^-y. `wrong` is the one of t and 1 - t that belongs to
// the class against which the logit's sign speaks, and `right` is the other
// one. A and B are the same two weights with the positive weight q on t. Then
//   1 - p_t = (wrong + right z) / (1 + z)
//   loss = alpha_t (1 - p_t)^gamma CE        CE = A (y + log1p(z)) + B log1p(z)
//   d loss / d y = alpha_t (1 - p_t)^gamma / (1 + z)
//                  [A - B z + gamma CE k]        k = (wrong - right) r
//   d2 loss / d y2 = alpha_t (1 - p_t)^gamma / (1 + z)^2
//                    {(A + B) z + gamma k [2 (A - B z)
//                                          + CE (gamma k + z (1 - v) - v)]}
// with r = z / (wrong + right z) and v = wrong / (wrong + right z). The power
// is computed from -log(1 - p_t), which is a softplus for hard targets.
// Exchanging (x, t, alpha) for (-x, 1 - t, 1 - alpha) leaves `wrong` and
// `right` as they are, so the loss is symmetric bit for bit.
//
// The polynomial loss adds epsilon (1 - p_t)^(gamma + 1). With the power
// (1 - p_t)^gamma taken out, its terms are
//   epsilon (wrong + right z) / (1 + z)
//   epsilon (gamma + 1) (wrong - right) z / (1 + z) / (1 + z)
//   epsilon (gamma + 1) (wrong - right) z / (1 + z) / (1 + z)^2
//     [(gamma + 1) k + z (1 - v) - v]
//
// Where the power is a constant (LossParameters::slope_positive), gamma is 0 in
// the brackets.

// The terms that depend on how well the logit agrees with the target.
template <class Ops>
struct FocalTerms {
  Parts<Ops> distance;    // -log(1 - p_t)
  typename Ops::V ratio;  // r
  // With kSecond, else 0.
  typename Ops::V lifted_ratio;  // r 2^kLift
  typename Ops::V share;         // v
};

// Returns them for hard targets: one of `wrong` and `right` is 0.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN FocalTerms<Ops> HardFocalTerms(const SoftplusResult<Ops>& s,
                                                typename Ops::V wrong) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const typename Ops::M is_right = Ops::IsZero(wrong);
  FocalTerms<Ops> terms = {SelectParts<Ops>(is_right, s.plus, s.minus),
                           Ops::Select(is_right, Ops::Set(T{1}), s.z.high),
                           Ops::Set(0), Ops::Set(0)};
  if constexpr (kSecond) {
    const V lift = Ops::Set(CurvatureLayout<T>::kLiftFactor);
    terms.lifted_ratio = Ops::Select(is_right, lift, LiftedZ<Ops>(s));
    terms.share = wrong;
  }
  return terms;
}

template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN FocalTerms<Ops> FocalTermsOf(const SoftplusResult<Ops>& s,
                                              typename Ops::V wrong,
                                              typename Ops::V right) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  FocalTerms<Ops> terms = HardFocalTerms<Ops, kSecond>(s, wrong);
  const typename Ops::M hard = Ops::IsZero(Ops::Mul(wrong, right));
  if (Ops::All(hard)) return terms;
  const V one = Ops::Set(T{1});
  const V sum = Ops::Fma(right, s.z.high, wrong);
  const Parts<Ops> log = LogOf<Ops>(sum, Ops::Sub(one, sum));
  Parts<Ops> soft = ExactSum<Ops>(s.minus.high, Ops::Neg(log.high));
  soft.low = Ops::Add(soft.low, Ops::Sub(s.minus.low, log.low));
  terms.distance = SelectParts<Ops>(hard, terms.distance, soft);
  terms.ratio = Ops::Select(hard, terms.ratio, Ops::Div(s.z.high, sum));
  if constexpr (kSecond) {
    terms.lifted_ratio =
        Ops::Select(hard, terms.lifted_ratio, Ops::Div(LiftedZ<Ops>(s), sum));
    terms.share = Ops::Select(hard, terms.share, Ops::Div(wrong, sum));
  }
  return terms;
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

// LOSS_KIND_SIGMOID_FOCAL and, with kPoly, LOSS_KIND_POLY.
template <class Ops, bool kPoly>
class FocalLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit FocalLoss(const LossParameters& parameters)
      : gamma_(parameters.gamma_positive),
        slope_gamma_(parameters.slope_positive),
        alpha_positive_(static_cast<T>(parameters.alpha_positive)),
        alpha_negative_(static_cast<T>(parameters.alpha_negative)),
        epsilon_(static_cast<T>(parameters.epsilon)),
        gamma_plus_1_(static_cast<T>(parameters.gamma_positive + 1)) {}

  template <bool kSecond>
  LOSSD_ELEMENT_FN ElementResult<Ops> At(V x, const TargetPair<Ops>& target,
                                         V q) const {
    return At<kSecond>(x, target, q, SoftplusOf<Ops>(Ops::Abs(x)));
  }

  // Returns the same; `s` is the softplus of |x|.
  template <bool kSecond>
  LOSSD_ELEMENT_FN ElementResult<Ops> At(V x, const TargetPair<Ops>& target,
                                         V q,
                                         const SoftplusResult<Ops>& s) const {
    const V positive = Ops::Mul(target.t, q);
    const V wrong = Ops::SelectNegative(x, target.t, target.complement);
    const V right = Ops::SelectNegative(x, target.complement, target.t);
    const V a = Ops::SelectNegative(x, positive, target.complement);
    const V b = Ops::SelectNegative(x, target.complement, positive);
    FocalTerms<Ops> terms = FocalTermsOf<Ops, kSecond>(s, wrong, right);
    // Beyond the clamp the loss of a right logit is 0 whatever the power is.
    terms.distance.high =
        Ops::ClampAbove(terms.distance.high, ExponentLayout<T>::kClamp);
    const Parts<Ops> gamma = gamma_.template Get<Ops>();
    Exponential<Ops> power = PowerOf<Ops>(gamma, terms.distance);
    const V alpha = Alpha(x, wrong, right);
    if constexpr (!kPoly) {
      power.mantissa = Product<Ops>(alpha, power.mantissa);
    }
    Parts<Ops> entropy = WeightedSoftplus<Ops>(s, a, b);
    // The ratio is 0 where the entropy is infinite: their product is 0.
    const V finite = Ops::ClampAbove(entropy.high, ExponentLayout<T>::kLargest);
    const V slope_gamma = slope_gamma_.template Get<Ops>().high;
    const V power_slope = Ops::Mul(Ops::Mul(finite, terms.ratio), slope_gamma);
    // The negative of the bracket above: the derivative by -y.
    V slope = Ops::Fma(power_slope, Ops::Sub(right, wrong),
                       Ops::FmaSub(b, s.z.high, a));
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    V lifted = Ops::Set(0);
    if constexpr (kSecond) {
      lifted = Lifted(s, terms, wrong, right, a, b, finite);
    }
    if constexpr (kPoly) {
      AddPoly<kSecond>(s, terms, sigmoid, wrong, right, alpha, entropy, slope,
                       lifted);
    }
    const Parts<Ops> scaled = Product<Ops>(slope, sigmoid);
    V second = Ops::Set(0);
    if constexpr (kSecond) {
      second = TimesLoweredPower<Ops>(power, sigmoid, lifted);
    }
    return {TimesPower<Ops>(power, entropy),
            Ops::FlipUnlessNegative(x, TimesPower<Ops>(power, scaled)), second};
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

  // Returns g k + z (1 - v) - v.
  LOSSD_ELEMENT_FN static V Inner(const SoftplusResult<Ops>& s,
                                  const FocalTerms<Ops>& terms, V difference,
                                  V g) {
    const V rest = Ops::Sub(Ops::Set(T{1}), terms.share);
    return Ops::Fma(g, Ops::Mul(difference, terms.ratio),
                    Ops::FmaSub(s.z.high, rest, terms.share));
  }

  // Returns the braces of the second derivative times 2^kLift, without alpha.
  LOSSD_ELEMENT_FN V Lifted(const SoftplusResult<Ops>& s,
                            const FocalTerms<Ops>& terms, V wrong, V right, V a,
                            V b, V entropy) const {
    const V gamma = slope_gamma_.template Get<Ops>().high;
    const V difference = Ops::Sub(wrong, right);
    const V twice = Ops::Mul(Ops::Set(T{2}), Ops::NegFma(b, s.z.high, a));
    const V bracket =
        Ops::Fma(entropy, Inner(s, terms, difference, gamma), twice);
    return Ops::Fma(Ops::Mul(gamma, Ops::Mul(difference, terms.lifted_ratio)),
                    bracket, Ops::Mul(Ops::Add(a, b), LiftedZ<Ops>(s)));
  }

  // Multiplies the three by alpha, and adds the polynomial term to them.
  template <bool kSecond>
  LOSSD_ELEMENT_FN void AddPoly(const SoftplusResult<Ops>& s,
                                const FocalTerms<Ops>& terms,
                                const Parts<Ops>& sigmoid, V wrong, V right,
                                V alpha, Parts<Ops>& loss, V& slope,
                                V& lifted) const {
    const V zero = Ops::Set(0);
    const V miss = Ops::Mul(Ops::Fma(right, s.z.high, wrong), sigmoid.high);
    // An alpha of 0 removes an infinite entropy, too.
    const typename Ops::M off = Ops::IsZero(alpha);
    const Parts<Ops> focal = Product<Ops>(alpha, loss);
    const V finite = Ops::ClampAbove(loss.high, ExponentLayout<T>::kLargest);
    loss.high = Ops::Fma(Ops::Set(epsilon_), miss,
                         Ops::Select(off, zero, Ops::Mul(alpha, loss.high)));
    loss.low = Ops::Select(Ops::IsBelow(finite, ExponentLayout<T>::kLargest),
                           focal.low, zero);
    const V factor = Ops::Mul(
        Ops::Mul(Ops::Set(epsilon_), Ops::Set(gamma_plus_1_)), sigmoid.high);
    const V difference = Ops::Sub(wrong, right);
    slope = Ops::NegFma(Ops::Mul(factor, s.z.high), difference,
                        Ops::Mul(alpha, slope));
    if constexpr (kSecond) {
      const V inner = Inner(s, terms, difference, Ops::Set(gamma_plus_1_));
      lifted = Ops::Fma(Ops::Mul(factor, LiftedZ<Ops>(s)),
                        Ops::Mul(difference, inner), Ops::Mul(alpha, lifted));
    }
  }

  SplitScalar<T> gamma_;
  SplitScalar<T> slope_gamma_;
  T alpha_positive_;
  T alpha_negative_;
  T epsilon_;
  T gamma_plus_1_;
};
