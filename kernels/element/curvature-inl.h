// The parts of second derivatives that the losses with powers share. This body
// is included by kernels/element/element-inl.h.
//
// A second derivative is a power times z times a factor that may be near 100.
// Where z is subnormal it has lost digits, and that factor would show it. So z
// is taken 2^kLift times as large, and the power's exponent is lowered by kLift
// before it is multiplied in.

template <class T>
struct CurvatureLayout;

template <>
struct CurvatureLayout<float> {
  static constexpr float kLift = 32.0f;  // e^-104 2^32 is normal
  static constexpr float kLiftFactor = 0x1p32f;
  static constexpr float kDeepest = 252.0f;  // -n in Scale()
  static constexpr float kSmall = 0x1p-60f;  // log1p(z) is z
};

template <>
struct CurvatureLayout<double> {
  static constexpr double kLift = 64.0;
  static constexpr double kLiftFactor = 0x1p64;
  static constexpr double kDeepest = 2044.0;
  static constexpr double kSmall = 0x1p-120;
};

// Returns z 2^kLift.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V LiftedZ(const SoftplusResult<Ops>& s) {
  using Layout = CurvatureLayout<typename Ops::T>;
  return Ops::Scale(s.unscaled_z.mantissa.high,
                    Ops::Add(s.unscaled_z.n, Ops::Set(Layout::kLift)));
}

// Returns the power times sigmoid^2 times lifted 2^-kLift, rounded to within a
// few units of the last place.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V TimesLoweredPower(Exponential<Ops> power,
                                                   const Parts<Ops>& sigmoid,
                                                   typename Ops::V lifted) {
  using Layout = CurvatureLayout<typename Ops::T>;
  power.n = Ops::Neg(Ops::ClampAbove(Ops::Sub(Ops::Set(Layout::kLift), power.n),
                                     Layout::kDeepest));
  return TimesPower<Ops>(power,
                         Product<Ops>(Ops::Mul(lifted, sigmoid.high), sigmoid));
}
