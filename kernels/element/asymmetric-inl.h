// The asymmetric loss (ASL) of one element, and the focal loss that mixes soft
// targets. This body is included by kernels/element/element-inl.h.
//
// With p = s(x), p_m = max(p - m, 0), target t and positive weight q,
//   loss = t q (1 - p)^g+ (-log p) + (1 - t) p_m^g- (-log(1 - p_m))
// It is linear in t. Its derivative is the full one: the powers are
// differentiated, too, unless LossParameters::slope_positive and slope_negative
// make them constants. Then those replace the exponents outside of the powers.
//
// Without a margin both terms have one form. Let y = |x|, z = e^-y, P = y +
// log1p(z) and M = log1p(z). The wrong term is that of the class against which
// the logit's sign speaks, with weight A and exponent a; the right term has
// weight B and exponent b. They and their derivatives by y are
//   A e^(-a M) P      A e^(-a M) (1 + a z P) / (1 + z)
//                     A e^(-a M) z {1 + 2 a + a P (a z - 1)} / (1 + z)^2
//   B e^(-b P) M     -B e^(-b P) (z + b M) / (1 + z)
//                     B e^(-b P) {z (1 + 2 b) + b M (b - z)} / (1 + z)^2
//
// The mixed polynomial loss adds to each term, with the class's weight c but
// without q and alpha, epsilon c times the next power. As factors of the same
// power, their loss and the parts of the two brackets are
//   epsilon c / (1 + z)      epsilon c (a + 1) z / (1 + z)
//                            epsilon c (a + 1) ((a + 1) z - 1) / (1 + z)
//   epsilon c z / (1 + z)    epsilon c (b + 1) z / (1 + z)
//                            epsilon c (b + 1) z (b + 1 - z) / (1 + z)

// Returns the power of a term times the term's weight. `distance` is the
// negative logarithm of the power's base.
template <class Ops>
LOSSD_ELEMENT_FN Exponential<Ops> WeightedPower(typename Ops::V weight,
                                                const Parts<Ops>& gamma,
                                                Parts<Ops> distance) {
  // Beyond the clamp the power's factor is 0.
  distance.high =
      Ops::ClampAbove(distance.high, ExponentLayout<typename Ops::T>::kClamp);
  Exponential<Ops> power = PowerOf<Ops>(gamma, distance);
  power.mantissa = Product<Ops>(weight, power.mantissa);
  return power;
}

// The exponent of a power, and the factor that it is in derivatives.
template <class Ops>
struct Gamma {
  Parts<Ops> power;
  typename Ops::V slope;
};

template <class Ops>
LOSSD_ELEMENT_FN Gamma<Ops> SelectNegativeGamma(typename Ops::V x,
                                                const Gamma<Ops>& a,
                                                const Gamma<Ops>& b) {
  return {SelectNegativeParts<Ops>(x, a.power, b.power),
          Ops::SelectNegative(x, a.slope, b.slope)};
}

// A gamma of LossParameters.
template <class T>
class GammaScalar {
 public:
  LOSSD_ELEMENT_FN GammaScalar(double power, double slope)
      : power_(power), slope_(slope) {}
  template <class Ops>
  LOSSD_ELEMENT_FN Gamma<Ops> Get() const {
    return {power_.template Get<Ops>(), slope_.template Get<Ops>().high};
  }

 private:
  SplitScalar<T> power_;
  SplitScalar<T> slope_;
};

// Returns the wrong term and its derivatives by y.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN LossAndSlope<Ops> WrongTerm(const SoftplusResult<Ops>& s,
                                             const Parts<Ops>& sigmoid,
                                             const Gamma<Ops>& gamma,
                                             typename Ops::V weight) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const auto power = WeightedPower<Ops>(weight, gamma.power, s.minus);
  // z is 0 where P is infinite.
  const V finite = Ops::ClampAbove(s.plus.high, ExponentLayout<T>::kLargest);
  const V one = Ops::Set(T{1});
  const V factor = Ops::Fma(gamma.slope, Ops::Mul(finite, s.z.high), one);
  V second = Ops::Set(0);
  if constexpr (kSecond) {
    const V z = LiftedZ<Ops>(s);
    const V curve = Ops::Mul(finite, Ops::FmaSub(gamma.slope, s.z.high, one));
    const V lifted =
        Ops::Fma(Ops::Mul(gamma.slope, z), Ops::Add(Ops::Set(T{2}), curve), z);
    second = TimesLoweredPower<Ops>(power, sigmoid, lifted);
  }
  return {TimesPower<Ops>(power, s.plus),
          TimesPower<Ops>(power, Product<Ops>(factor, sigmoid)), second};
}

// Returns the right term and its derivatives by y, the first one's absolute
// value.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN LossAndSlope<Ops> RightTerm(const SoftplusResult<Ops>& s,
                                             const Parts<Ops>& sigmoid,
                                             const Gamma<Ops>& gamma,
                                             typename Ops::V weight) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const auto power = WeightedPower<Ops>(weight, gamma.power, s.plus);
  const V factor = Ops::Fma(gamma.slope, s.minus.high, s.z.high);
  V second = Ops::Set(0);
  if constexpr (kSecond) {
    const V z = LiftedZ<Ops>(s);
    // log1p(z) is z where z is lifted for its digits.
    const V log = Ops::Select(
        Ops::IsBelow(s.z.high, CurvatureLayout<T>::kSmall), z,
        Ops::Mul(s.minus.high, Ops::Set(CurvatureLayout<T>::kLiftFactor)));
    const V twice = Ops::Fma(gamma.slope, Ops::Set(T{2}), Ops::Set(T{1}));
    const V curve = Ops::Mul(log, Ops::Sub(gamma.slope, s.z.high));
    second = TimesLoweredPower<Ops>(
        power, sigmoid, Ops::Fma(gamma.slope, curve, Ops::Mul(z, twice)));
  }
  return {TimesPower<Ops>(power, s.minus),
          TimesPower<Ops>(power, Product<Ops>(factor, sigmoid)), second};
}

// Adds to a term the polynomial one, of which `weight` is epsilon times the
// class's weight. `is_wrong` says which term it is.
template <class Ops, bool kSecond, bool kWrong>
LOSSD_ELEMENT_FN LossAndSlope<Ops> WithPoly(const LossAndSlope<Ops>& term,
                                            const SoftplusResult<Ops>& s,
                                            const Parts<Ops>& sigmoid,
                                            const Gamma<Ops>& gamma,
                                            typename Ops::V weight) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const auto power =
      WeightedPower<Ops>(weight, gamma.power, kWrong ? s.minus : s.plus);
  const V one = Ops::Set(T{1});
  const V next = Ops::Add(gamma.slope, one);
  const Parts<Ops> small = Product<Ops>(s.z.high, sigmoid);
  const V slope = Ops::Mul(next, s.z.high);
  const Parts<Ops> scaled =
      Product<Ops>(Ops::Mul(slope, sigmoid.high), sigmoid);
  V second = Ops::Set(0);
  if constexpr (kSecond) {
    const V inner =
        kWrong ? Ops::FmaSub(next, s.z.high, one) : Ops::Sub(next, s.z.high);
    const V lifted = Ops::Mul(Ops::Mul(next, inner),
                              Ops::Mul(LiftedZ<Ops>(s), sigmoid.high));
    second = TimesLoweredPower<Ops>(power, sigmoid, lifted);
  }
  return {Ops::Add(term.loss, TimesPower<Ops>(power, kWrong ? sigmoid : small)),
          Ops::Add(term.slope, TimesPower<Ops>(power, scaled)),
          Ops::Add(term.second, second)};
}

// LOSS_KIND_ASYMMETRIC with a margin of 0, and LOSS_KIND_SIGMOID_FOCAL and,
// with kPoly, LOSS_KIND_POLY that mix soft targets.
template <class Ops, bool kPoly>
class AsymmetricLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit AsymmetricLoss(const LossParameters& parameters)
      : positive_(parameters.gamma_positive, parameters.slope_positive),
        negative_(parameters.gamma_negative, parameters.slope_negative),
        alpha_positive_(static_cast<T>(parameters.alpha_positive)),
        alpha_negative_(static_cast<T>(parameters.alpha_negative)),
        epsilon_(static_cast<T>(parameters.epsilon)) {}

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
    const V positive =
        Ops::Mul(Ops::Mul(target.t, q), Ops::Set(alpha_positive_));
    const V negative = Ops::Mul(target.complement, Ops::Set(alpha_negative_));
    const Gamma<Ops> of_positive = positive_.template Get<Ops>();
    const Gamma<Ops> of_negative = negative_.template Get<Ops>();
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    const Gamma<Ops> of_wrong =
        SelectNegativeGamma<Ops>(x, of_positive, of_negative);
    const Gamma<Ops> of_right =
        SelectNegativeGamma<Ops>(x, of_negative, of_positive);
    LossAndSlope<Ops> wrong = WrongTerm<Ops, kSecond>(
        s, sigmoid, of_wrong, Ops::SelectNegative(x, positive, negative));
    LossAndSlope<Ops> right = RightTerm<Ops, kSecond>(
        s, sigmoid, of_right, Ops::SelectNegative(x, negative, positive));
    if constexpr (kPoly) {
      const V epsilon = Ops::Set(epsilon_);
      wrong = WithPoly<Ops, kSecond, true>(
          wrong, s, sigmoid, of_wrong,
          Ops::Mul(epsilon,
                   Ops::SelectNegative(x, target.t, target.complement)));
      right = WithPoly<Ops, kSecond, false>(
          right, s, sigmoid, of_right,
          Ops::Mul(epsilon,
                   Ops::SelectNegative(x, target.complement, target.t)));
    }
    return {Ops::Add(wrong.loss, right.loss),
            Ops::FlipUnlessNegative(x, Ops::Sub(right.slope, wrong.slope)),
            Ops::Add(wrong.second, right.second)};
  }

 private:
  GammaScalar<T> positive_, negative_;
  T alpha_positive_;
  T alpha_negative_;
  T epsilon_;
};

// LOSS_KIND_ASYMMETRIC with a margin.
template <class Ops>
class AsymmetricMarginLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit AsymmetricMarginLoss(
      const LossParameters& parameters)
      : positive_(parameters.gamma_positive, parameters.slope_positive),
        negative_(parameters.gamma_negative, parameters.slope_negative),
        margin_(parameters.margin) {}

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
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    const V weight = Ops::Mul(target.t, q);
    const Gamma<Ops> gamma = positive_.template Get<Ops>();
    const LossAndSlope<Ops> wrong =
        WrongTerm<Ops, kSecond>(s, sigmoid, gamma, weight);
    const LossAndSlope<Ops> right =
        RightTerm<Ops, kSecond>(s, sigmoid, gamma, weight);
    const LossAndSlope<Ops> negative =
        Negative<kSecond>(x, s, sigmoid, target.complement);
    const V positive_loss = Ops::SelectNegative(x, wrong.loss, right.loss);
    const V positive_slope = Ops::SelectNegative(x, wrong.slope, right.slope);
    return {Ops::Add(positive_loss, negative.loss),
            Ops::Sub(negative.slope, positive_slope),
            Ops::Add(Ops::SelectNegative(x, wrong.second, right.second),
                     negative.second)};
  }

 private:
  // Returns the term of 1 - t and its derivatives by x. With d = p_m, v = 1 - d
  // and l = -log v they are
  //   d^g l        p (1 - p) d^g (g l / d + 1 / v)
  //   d^g {[g (g - 1) l / d h + 2 g f] h / d + f^2
  //        + (1 - 2 p) (g l / d h + f)}    h = p (1 - p), f = h / v
  // d is a difference of numbers with two parts, so it keeps its digits where p
  // is near the margin. Where p is not above the margin, all are 0.
  template <bool kSecond>
  LOSSD_ELEMENT_FN LossAndSlope<Ops> Negative(V x, const SoftplusResult<Ops>& s,
                                              const Parts<Ops>& sigmoid,
                                              V weight) const {
    const Parts<Ops>& z = s.z;
    // p and 1 - p are 1 / (1 + z) and z / (1 + z), in the order of x's sign.
    Parts<Ops> small = Product<Ops>(z.high, sigmoid);
    small.low = Ops::Fma(z.low, sigmoid.high, small.low);
    const Parts<Ops> p = SelectNegativeParts<Ops>(x, small, sigmoid);
    const V rest = Ops::SelectNegative(x, sigmoid.high, small.high);
    const Parts<Ops> margin = margin_.template Get<Ops>();
    const Parts<Ops> rough = ExactSum<Ops>(p.high, Ops::Neg(margin.high));
    V d =
        Ops::Add(rough.high, Ops::Add(rough.low, Ops::Sub(p.low, margin.low)));
    const typename Ops::M off = Ops::IsBelow(d, PowerLayout<T>::kLeast);
    d = Ops::Select(off, Ops::Set(T{0.5}), d);
    const V v = Ops::Select(off, Ops::Set(T{0.5}), Ops::Add(rest, margin.high));
    const Parts<Ops> loss = Negated<Ops>(LogOf<Ops>(v, d));
    const Gamma<Ops> gamma = negative_.template Get<Ops>();
    auto power =
        WeightedPower<Ops>(weight, gamma.power, Negated<Ops>(LogOf<Ops>(d, v)));
    const V zero = Ops::Set(T{0});
    power.mantissa.high = Ops::Select(off, zero, power.mantissa.high);
    const V ratio = Ops::Div(loss.high, d);
    const V inverse = Ops::Div(Ops::Set(T{1}), v);
    const V factor = Ops::Fma(gamma.slope, ratio, inverse);
    V second = zero;
    if constexpr (kSecond) {
      second = TimesLoweredPower<Ops>(
          power, sigmoid,
          Lifted(s, small.high, sigmoid.high, Ops::Sub(rest, p.high), d, ratio,
                 inverse, gamma.slope));
    }
    return {TimesPower<Ops>(power, loss),
            TimesPower<Ops>(
                power, Product<Ops>(Ops::Mul(factor, small.high), sigmoid)),
            second};
  }

  // Returns the braces of the second derivative times 2^kLift, without the
  // factor 1 / (1 + z)^2 of h. `turn` is 1 - 2 p.
  LOSSD_ELEMENT_FN static V Lifted(const SoftplusResult<Ops>& s, V small,
                                   V sigmoid, V turn, V d, V ratio, V inverse,
                                   V g) {
    const V z = LiftedZ<Ops>(s);
    const V h = Ops::Mul(small, sigmoid);
    const V of_ratio = Ops::Mul(g, ratio);
    const V steep =
        Ops::Fma(Ops::Mul(of_ratio, Ops::Sub(g, Ops::Set(T{1}))), h,
                 Ops::Mul(Ops::Mul(Ops::Set(T{2}), g), Ops::Mul(h, inverse)));
    const V sum = Ops::Fma(Ops::Mul(h, inverse), inverse,
                           Ops::Mul(turn, Ops::Add(of_ratio, inverse)));
    const V near =
        Ops::Mul(steep, Ops::ClampAbove(Ops::Div(Ops::Set(T{1}), d),
                                        ExponentLayout<T>::kLargest));
    return Ops::Mul(z, Ops::Add(near, sum));
  }

  GammaScalar<T> positive_, negative_;
  SplitScalar<T> margin_;
};
