// The asymmetric loss (ASL) of one element. This body is included by
// kernels/element/element-inl.h.
//
// With p = s(x), p_m = max(p - m, 0), target t and positive weight q,
//   loss = t q (1 - p)^g+ (-log p) + (1 - t) p_m^g- (-log(1 - p_m))
// It is linear in t. Its derivative is the full one: the powers are
// differentiated, too.
//
// Without a margin both terms have one form. Let y = |x|, z = e^-y, P = y +
// log1p(z) and M = log1p(z). The wrong term is that of the class against which
// the logit's sign speaks, with weight A and exponent a; the right term has
// weight B and exponent b. They are
//   A e^(-a M) P    derivative by y   A e^(-a M) (1 + a z P) / (1 + z)
//   B e^(-b P) M    derivative by y  -B e^(-b P) (z + b M) / (1 + z)

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

// Returns the wrong term: A e^(-a M) P and its derivative by y.
template <class Ops>
LOSSD_ELEMENT_FN LossAndSlope<Ops> WrongTerm(const SoftplusResult<Ops>& s,
                                             const Parts<Ops>& sigmoid,
                                             const Parts<Ops>& gamma,
                                             typename Ops::V weight) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const auto power = WeightedPower<Ops>(weight, gamma, s.minus);
  // z is 0 where P is infinite.
  const V finite = Ops::ClampAbove(s.plus.high, ExponentLayout<T>::kLargest);
  const V factor =
      Ops::Fma(gamma.high, Ops::Mul(finite, s.z.high), Ops::Set(T{1}));
  return {TimesPower<Ops>(power, s.plus),
          TimesPower<Ops>(power, Product<Ops>(factor, sigmoid))};
}

// Returns the right term: B e^(-b P) M and the absolute value of its derivative
// by y.
template <class Ops>
LOSSD_ELEMENT_FN LossAndSlope<Ops> RightTerm(const SoftplusResult<Ops>& s,
                                             const Parts<Ops>& sigmoid,
                                             const Parts<Ops>& gamma,
                                             typename Ops::V weight) {
  const auto power = WeightedPower<Ops>(weight, gamma, s.plus);
  const typename Ops::V factor = Ops::Fma(gamma.high, s.minus.high, s.z.high);
  return {TimesPower<Ops>(power, s.minus),
          TimesPower<Ops>(power, Product<Ops>(factor, sigmoid))};
}

// LOSS_KIND_ASYMMETRIC with a margin of 0.
template <class Ops>
class AsymmetricLoss {
 public:
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit AsymmetricLoss(const LossParameters& parameters)
      : gamma_positive_(parameters.gamma_positive),
        gamma_negative_(parameters.gamma_negative) {}

  LOSSD_ELEMENT_FN ElementResult<Ops> operator()(V x,
                                                 const TargetPair<Ops>& target,
                                                 V q) const {
    const V positive = Ops::Mul(target.t, q);
    const Parts<Ops> of_positive = gamma_positive_.template Get<Ops>();
    const Parts<Ops> of_negative = gamma_negative_.template Get<Ops>();
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    const LossAndSlope<Ops> wrong = WrongTerm<Ops>(
        s, sigmoid, SelectNegativeParts<Ops>(x, of_positive, of_negative),
        Ops::SelectNegative(x, positive, target.complement));
    const LossAndSlope<Ops> right = RightTerm<Ops>(
        s, sigmoid, SelectNegativeParts<Ops>(x, of_negative, of_positive),
        Ops::SelectNegative(x, target.complement, positive));
    return {Ops::Add(wrong.loss, right.loss),
            Ops::FlipUnlessNegative(x, Ops::Sub(right.slope, wrong.slope))};
  }

 private:
  SplitScalar<typename Ops::T> gamma_positive_, gamma_negative_;
};

// LOSS_KIND_ASYMMETRIC with a margin.
template <class Ops>
class AsymmetricMarginLoss {
 public:
  using T = typename Ops::T;
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit AsymmetricMarginLoss(
      const LossParameters& parameters)
      : gamma_positive_(parameters.gamma_positive),
        gamma_negative_(parameters.gamma_negative),
        margin_(parameters.margin) {}

  LOSSD_ELEMENT_FN ElementResult<Ops> operator()(V x,
                                                 const TargetPair<Ops>& target,
                                                 V q) const {
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    const Parts<Ops> sigmoid = SigmoidOf<Ops>(s.z);
    const V weight = Ops::Mul(target.t, q);
    const Parts<Ops> gamma = gamma_positive_.template Get<Ops>();
    const LossAndSlope<Ops> wrong = WrongTerm<Ops>(s, sigmoid, gamma, weight);
    const LossAndSlope<Ops> right = RightTerm<Ops>(s, sigmoid, gamma, weight);
    const LossAndSlope<Ops> negative =
        Negative(x, s.z, sigmoid, target.complement);
    const V positive_loss = Ops::SelectNegative(x, wrong.loss, right.loss);
    const V positive_slope = Ops::SelectNegative(x, wrong.slope, right.slope);
    return {Ops::Add(positive_loss, negative.loss),
            Ops::Sub(negative.slope, positive_slope)};
  }

 private:
  // Returns the term of 1 - t and its derivative by x. With d = p_m and v = 1 -
  // d they are
  //   d^g (-log v)        p (1 - p) d^g (g (-log v) / d + 1 / v)
  // d is a difference of numbers with two parts, so it keeps its digits where p
  // is near the margin. Where p is not above the margin, both are 0.
  LOSSD_ELEMENT_FN LossAndSlope<Ops> Negative(V x, const Parts<Ops>& z,
                                              const Parts<Ops>& sigmoid,
                                              V weight) const {
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
    const Parts<Ops> gamma = gamma_negative_.template Get<Ops>();
    auto power =
        WeightedPower<Ops>(weight, gamma, Negated<Ops>(LogOf<Ops>(d, v)));
    const V zero = Ops::Set(T{0});
    power.mantissa.high = Ops::Select(off, zero, power.mantissa.high);
    const V factor = Ops::Fma(gamma.high, Ops::Div(loss.high, d),
                              Ops::Div(Ops::Set(T{1}), v));
    return {TimesPower<Ops>(power, loss),
            TimesPower<Ops>(
                power, Product<Ops>(Ops::Mul(factor, small.high), sigmoid))};
  }

  SplitScalar<T> gamma_positive_, gamma_negative_, margin_;
};
