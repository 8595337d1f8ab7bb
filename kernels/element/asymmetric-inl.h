// The asymmetric loss (ASL) of one element. A body, included by
// kernels/element/element-inl.h.
//
// With p = s(x), p_m = max(p - m, 0), target t and positive weight q,
//   loss = t q (1 - p)^g+ (-log p) + (1 - t) p_m^g- (-log(1 - p_m))
// and its full derivative: the powers are differentiated, too. Linear in t.
//
// Without a margin both terms are of one form. With y = |x|, z = e^-y, P = y +
// log1p(z) and M = log1p(z), the term that the logit's sign speaks against, of
// weight A and exponent a, and the one that it speaks for (B, b) are
//   A e^(-a M) P    derivative by y   A e^(-a M) (1 + a z P) / (1 + z)
//   B e^(-b P) M    derivative by y  -B e^(-b P) (z + b M) / (1 + z)

// A loss and its derivative by y, or by x.
template <class Ops>
struct Term {
  typename Ops::V loss;
  typename Ops::V slope;
};

// The power of a term, times the term's weight.
template <class Ops>
LOSSD_ELEMENT_FN Exponential<Ops> WeightedPower(typename Ops::V weight,
                                                const Parts<Ops>& gamma,
                                                Parts<Ops> distance) {
  // Beyond, what the power is multiplied with is 0.
  distance.high =
      Ops::ClampAbove(distance.high, ExponentLayout<typename Ops::T>::kClamp);
  Exponential<Ops> power = PowerOf<Ops>(gamma, distance);
  power.mantissa = Product<Ops>(weight, power.mantissa);
  return power;
}

// The first of the two forms above.
template <class Ops>
LOSSD_ELEMENT_FN Term<Ops> TermAgainst(const SoftplusResult<Ops>& s,
                                       const Parts<Ops>& share,
                                       const Parts<Ops>& gamma,
                                       typename Ops::V weight) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  const auto power = WeightedPower<Ops>(weight, gamma, s.minus);
  // z is 0 where P is infinite.
  const V finite = Ops::ClampAbove(s.plus.high, ExponentLayout<T>::kLargest);
  const V bent =
      Ops::Fma(gamma.high, Ops::Mul(finite, s.z.high), Ops::Set(T{1}));
  return {TimesPower<Ops>(power, s.plus),
          TimesPower<Ops>(power, Product<Ops>(bent, share))};
}

// The second; of its derivative, the size.
template <class Ops>
LOSSD_ELEMENT_FN Term<Ops> TermFor(const SoftplusResult<Ops>& s,
                                   const Parts<Ops>& share,
                                   const Parts<Ops>& gamma,
                                   typename Ops::V weight) {
  const auto power = WeightedPower<Ops>(weight, gamma, s.plus);
  const typename Ops::V bent = Ops::Fma(gamma.high, s.minus.high, s.z.high);
  return {TimesPower<Ops>(power, s.minus),
          TimesPower<Ops>(power, Product<Ops>(bent, share))};
}

// LOSS_KIND_ASYMMETRIC with a margin of 0.
template <class Ops>
class AsymmetricLoss {
 public:
  using V = typename Ops::V;

  LOSSD_ELEMENT_FN explicit AsymmetricLoss(const LossParameters& parameters)
      : gamma_positive_(parameters.gamma_positive),
        gamma_negative_(parameters.gamma_negative) {}

  LOSSD_ELEMENT_FN ElementResult<Ops> operator()(V x, const Sides<Ops>& sides,
                                                 V q) const {
    const V positive = Ops::Mul(sides.t, q);
    const Parts<Ops> of_positive = gamma_positive_.template Get<Ops>();
    const Parts<Ops> of_negative = gamma_negative_.template Get<Ops>();
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    const Parts<Ops> share = ShareOf<Ops>(s.z);
    const Term<Ops> against = TermAgainst<Ops>(
        s, share, SelectNegativeParts<Ops>(x, of_positive, of_negative),
        Ops::SelectNegative(x, positive, sides.complement));
    const Term<Ops> agreed = TermFor<Ops>(
        s, share, SelectNegativeParts<Ops>(x, of_negative, of_positive),
        Ops::SelectNegative(x, sides.complement, positive));
    return {Ops::Add(against.loss, agreed.loss),
            Ops::FlipUnlessNegative(x, Ops::Sub(agreed.slope, against.slope))};
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

  LOSSD_ELEMENT_FN ElementResult<Ops> operator()(V x, const Sides<Ops>& sides,
                                                 V q) const {
    const SoftplusResult<Ops> s = SoftplusOf<Ops>(Ops::Abs(x));
    const Parts<Ops> share = ShareOf<Ops>(s.z);
    const V weight = Ops::Mul(sides.t, q);
    const Parts<Ops> gamma = gamma_positive_.template Get<Ops>();
    const Term<Ops> against = TermAgainst<Ops>(s, share, gamma, weight);
    const Term<Ops> agreed = TermFor<Ops>(s, share, gamma, weight);
    const Term<Ops> negative = Negative(x, s.z, share, sides.complement);
    const V positive_loss = Ops::SelectNegative(x, against.loss, agreed.loss);
    const V positive_slope =
        Ops::SelectNegative(x, against.slope, agreed.slope);
    return {Ops::Add(positive_loss, negative.loss),
            Ops::Sub(negative.slope, positive_slope)};
  }

 private:
  // The term of 1 - t and its derivative by x. With d = p_m and v = 1 - d:
  //   d^g (-log v)        p (1 - p) d^g (g (-log v) / d + 1 / v)
  // d is a difference of numbers with two parts: it keeps its digits where p is
  // near the margin. Where p is not above it, both are 0.
  LOSSD_ELEMENT_FN Term<Ops> Negative(V x, const Parts<Ops>& z,
                                      const Parts<Ops>& share, V weight) const {
    // p and 1 - p: 1 / (1 + z) and z / (1 + z), by the sign of x.
    Parts<Ops> small = Product<Ops>(z.high, share);
    small.low = Ops::Fma(z.low, share.high, small.low);
    const Parts<Ops> p = SelectNegativeParts<Ops>(x, small, share);
    const V rest = Ops::SelectNegative(x, share.high, small.high);
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
    const V bent = Ops::Fma(gamma.high, Ops::Div(loss.high, d),
                            Ops::Div(Ops::Set(T{1}), v));
    return {TimesPower<Ops>(power, loss),
            TimesPower<Ops>(power,
                            Product<Ops>(Ops::Mul(bent, small.high), share))};
  }

  SplitScalar<T> gamma_positive_, gamma_negative_, margin_;
};
