// An arithmetic policy over two vectors at a time. This file is a body without
// an include guard, included after hwy_ops-inl.h.
//
// Each operation on an element waits for the one before it. With two vectors
// whose operations alternate, the processor has twice as many independent
// operations to choose from: on AVX-512 the fast loop is a tenth faster
// (D13).

// With AVX2 a constant is loaded once for both vectors. The compiler would make
// it a memory operand of both operations, and such loads fill the load queue of
// Zen 3 before its arithmetic is busy (D86).

template <class OneVector>
struct PairOps {
  using Single = OneVector;
  using T = typename Single::T;
  using Half = typename Single::V;
  struct V {
    Half low, high;
  };
  struct M {
    typename Single::M low, high;
  };
  static constexpr int kHalf = Single::kWidth;
  static constexpr int kWidth = 2 * kHalf;

  // How many steps the fast loop computes an element's early part ahead.
  static constexpr int kStepsAhead = FastLoopShape::kPairsAhead;

  static HWY_INLINE V Set(T value) {
    Half both = Single::Set(value);
    if constexpr (FastLoopShape::kSharesConstants) {
      asm("" : "+x"(both.raw));  // Hides from the compiler that it is constant.
    }
    return {both, both};
  }
  static HWY_INLINE V Add(V a, V b) {
    return {Single::Add(a.low, b.low), Single::Add(a.high, b.high)};
  }
  static HWY_INLINE V Sub(V a, V b) {
    return {Single::Sub(a.low, b.low), Single::Sub(a.high, b.high)};
  }
  static HWY_INLINE V Mul(V a, V b) {
    return {Single::Mul(a.low, b.low), Single::Mul(a.high, b.high)};
  }
  static HWY_INLINE V Div(V a, V b) {
    return {Single::Div(a.low, b.low), Single::Div(a.high, b.high)};
  }
  static HWY_INLINE V Neg(V a) {
    return {Single::Neg(a.low), Single::Neg(a.high)};
  }
  static HWY_INLINE V Abs(V a) {
    return {Single::Abs(a.low), Single::Abs(a.high)};
  }
  static HWY_INLINE V Fma(V a, V b, V c) {
    return {Single::Fma(a.low, b.low, c.low),
            Single::Fma(a.high, b.high, c.high)};
  }
  static HWY_INLINE V NegFma(V a, V b, V c) {
    return {Single::NegFma(a.low, b.low, c.low),
            Single::NegFma(a.high, b.high, c.high)};
  }
  static HWY_INLINE V FmaSub(V a, V b, V c) {
    return {Single::FmaSub(a.low, b.low, c.low),
            Single::FmaSub(a.high, b.high, c.high)};
  }
  static HWY_INLINE V ClampAbove(V a, T limit) {
    return {Single::ClampAbove(a.low, limit),
            Single::ClampAbove(a.high, limit)};
  }
  template <class Exponent>
  static HWY_INLINE V TimesPowerOfTwo(V a, const Exponent& exponent) {
    struct Of {
      Half n, biased;
    };
    return {
        Single::TimesPowerOfTwo(a.low, Of{exponent.n.low, exponent.biased.low}),
        Single::TimesPowerOfTwo(a.high,
                                Of{exponent.n.high, exponent.biased.high})};
  }
  static HWY_INLINE V Scale(V a, V n) {
    return {Single::Scale(a.low, n.low), Single::Scale(a.high, n.high)};
  }
  static HWY_INLINE V ExponentOf(V a) {
    return {Single::ExponentOf(a.low), Single::ExponentOf(a.high)};
  }
  static HWY_INLINE M IsZero(V a) {
    return {Single::IsZero(a.low), Single::IsZero(a.high)};
  }
  static HWY_INLINE M IsBelow(V a, T limit) {
    return {Single::IsBelow(a.low, limit), Single::IsBelow(a.high, limit)};
  }
  static HWY_INLINE V Select(M m, V a, V b) {
    return {Single::Select(m.low, a.low, b.low),
            Single::Select(m.high, a.high, b.high)};
  }
  static HWY_INLINE V ZeroWhere(M m, V a) {
    return {Single::ZeroWhere(m.low, a.low), Single::ZeroWhere(m.high, a.high)};
  }
  static HWY_INLINE V ZeroUnless(M m, V a) {
    return {Single::ZeroUnless(m.low, a.low),
            Single::ZeroUnless(m.high, a.high)};
  }
  static HWY_INLINE bool All(M m) {
    return Single::All(m.low) && Single::All(m.high);
  }
  static HWY_INLINE M HasNoSign(V a) {
    return {Single::HasNoSign(a.low), Single::HasNoSign(a.high)};
  }
  static HWY_INLINE M Differ(M m, M n) {
    return {Single::Differ(m.low, n.low), Single::Differ(m.high, n.high)};
  }
  static HWY_INLINE V SelectNegative(V x, V a, V b) {
    return {Single::SelectNegative(x.low, a.low, b.low),
            Single::SelectNegative(x.high, a.high, b.high)};
  }
  static HWY_INLINE V FlipUnlessNegative(V x, V a) {
    return {Single::FlipUnlessNegative(x.low, a.low),
            Single::FlipUnlessNegative(x.high, a.high)};
  }

  // --- The fast loop needs the functions below, the element functions do not.
  static HWY_INLINE V Load(const T* from) {
    return {Single::Load(from), Single::Load(from + kHalf)};
  }
  static HWY_INLINE void Store(V a, T* to) {
    Single::Store(a.low, to);
    Single::Store(a.high, to + kHalf);
  }
  static HWY_INLINE V LoadBytes(const uint8_t* from) {
    return {Single::LoadBytes(from), Single::LoadBytes(from + kHalf)};
  }
  static HWY_INLINE M LoadBits(const uint8_t* bits, uint64_t i) {
    return {Single::LoadBits(bits, i), Single::LoadBits(bits, i + kHalf)};
  }
  static HWY_INLINE V LoadBFloat16(const uint16_t* from) {
    return {Single::LoadBFloat16(from), Single::LoadBFloat16(from + kHalf)};
  }
  static HWY_INLINE void StoreBFloat16(V a, uint16_t* to) {
    // Takes the upper half of each word of both vectors.
    const hn::Repartition<uint16_t, typename Single::D> halves;
    hn::StoreU(hn::ConcatOdd(
                   halves, hn::BitCast(halves, Single::RoundToBFloat16(a.high)),
                   hn::BitCast(halves, Single::RoundToBFloat16(a.low))),
               halves, to);
  }
  static HWY_INLINE void AddToLanes(V a, double* lanes) {
    Single::AddToLanes(a.low, lanes);
    Single::AddToLanes(a.high, lanes + kHalf);
  }
  static HWY_INLINE M FirstN(int n) {
    return {Single::FirstN(n), Single::FirstN(n > kHalf ? n - kHalf : 0)};
  }
  static HWY_INLINE V MaxOfBits(V a, V b) {
    return {Single::MaxOfBits(a.low, b.low), Single::MaxOfBits(a.high, b.high)};
  }
  static HWY_INLINE bool AnyAboveOneByBits(V a) {
    return Single::AnyAboveOneByBits(Single::MaxOfBits(a.low, a.high));
  }
};
