// The quality focal loss of one element. This body is included by
// kernels/element/element-inl.h.
//
// With y = |x|, z = e^-y, s = 1 / (1 + z) and the weights of focal-inl.h,
//   |t - p| = |C| s                     C = wrong - right z
//   loss = |C s|^gamma CE               CE = A (y + log1p(z)) + B log1p(z)
//   d loss / d y = |C s|^gamma s {gamma n CE + A - B z}       n = z / C
//   d2 loss / d y2 = |C s|^gamma s^2 {gamma n [((gamma - 1) n - (1 - z)) CE
//                                              + 2 (A - B z)] + (A + B) z}
// For hard targets these are the focal loss's values. Where p equals t the loss
// has its least value 0, and both derivatives are taken as 0 unless gamma is 0.

// LOSS_KIND_QUALITY_FOCAL.
template <class Ops>
class QualityFocalLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit QualityFocalLoss(const LossParameters& parameters)
      : gamma_(parameters.gamma_positive) {}

  template <bool kSecond>
  LOSSD_ELEMENT_FN ElementResult<Ops> At(V x, const TargetPair<Ops>& target,
                                         V q) const {
    const V positive = Ops::Mul(target.t, q);
    const V a = Ops::SelectNegative(x, positive, target.complement);
    const V b = Ops::SelectNegative(x, target.complement, positive);
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    Miss miss = MissOf(s, Ops::SelectNegative(x, target.t, target.complement),
                       Ops::SelectNegative(x, target.complement, target.t));
    miss.distance.high =
        Ops::ClampAbove(miss.distance.high, ExponentLayout<T>::kClamp);
    const Parts<Ops> gamma = gamma_.template Get<Ops>();
    Exponential<Ops> power = PowerOf<Ops>(gamma, miss.distance);
    power.mantissa.high = Ops::Mul(miss.any, power.mantissa.high);
    const Parts<Ops> entropy = WeightedSoftplus<Ops>(s, a, b);
    // n is 0 where the entropy is infinite.
    const V finite = Ops::ClampAbove(entropy.high, ExponentLayout<T>::kLargest);
    const V ratio = Ops::Select(miss.is_right, Ops::Set(T{-1}),
                                Ops::Div(s.z.high, miss.difference));
    const V line = Ops::NegFma(b, s.z.high, a);
    const V slope = Ops::Fma(gamma.high, Ops::Mul(ratio, finite), line);
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    const V derivative = TimesPower<Ops>(power, Product<Ops>(slope, sigmoid));
    V second = Ops::Set(0);
    if constexpr (kSecond) {
      const V z = LiftedZ<Ops>(s);
      const V one = Ops::Set(T{1});
      const V lifted_ratio =
          Ops::Select(miss.is_right, Ops::Set(-CurvatureLayout<T>::kLiftFactor),
                      Ops::Div(z, miss.difference));
      const V inner =
          Ops::Fma(Ops::Sub(gamma.high, one), ratio, Ops::Sub(s.z.high, one));
      const V bracket = Ops::Fma(inner, finite, Ops::Mul(Ops::Set(T{2}), line));
      second = TimesLoweredPower<Ops>(
          power, sigmoid,
          Ops::Fma(Ops::Mul(gamma.high, lifted_ratio), bracket,
                   Ops::Mul(Ops::Add(a, b), z)));
    }
    return {TimesPower<Ops>(power, entropy),
            Ops::FlipUnlessNegative(x, Ops::Neg(derivative)), second};
  }

 private:
  // How far p is from t.
  struct Miss {
    V difference;              // C, or 1 where it is 0
    V any;                     // 0 where p equals t, else 1
    Parts<Ops> distance;       // -log |t - p|
    typename Ops::M is_right;  // a hard target, and the logit's sign is right
  };

  LOSSD_ELEMENT_FN Miss MissOf(const SoftplusResult<Ops>& s, V wrong,
                               V right) const {
    const V one = Ops::Set(T{1});
    const typename Ops::M is_right = Ops::IsZero(wrong);
    const V rough = Ops::NegFma(right, s.z.high, wrong);
    const V exact = Ops::NegFma(right, s.z.low, rough);
    const typename Ops::M zero = Ops::IsZero(exact);
    const V difference = Ops::Select(zero, one, exact);
    const typename Ops::M hard = Ops::IsZero(Ops::Mul(wrong, right));
    Miss miss = {difference,
                 Ops::Select(hard, one, Ops::Select(zero, Ops::Set(0), one)),
                 SelectParts<Ops>(is_right, s.plus, s.minus), is_right};
    if (Ops::All(hard)) return miss;
    const V size = Ops::Abs(difference);
    const Parts<Ops> log = LogOf<Ops>(size, Ops::Sub(one, size));
    Parts<Ops> soft = ExactSum<Ops>(s.minus.high, Ops::Neg(log.high));
    soft.low = Ops::Add(soft.low, Ops::Sub(s.minus.low, log.low));
    miss.distance = SelectParts<Ops>(hard, miss.distance, soft);
    return miss;
  }

  SplitScalar<T> gamma_;
};
