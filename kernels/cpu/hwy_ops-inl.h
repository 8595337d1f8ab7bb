// The arithmetic policy of element-inl.h over Highway vectors. This file is a
// body without an include guard: it is included inside HWY_NAMESPACE, once for
// each instruction set.

namespace hn = hwy::HWY_NAMESPACE;

template <class Element>
struct HwyOps {
  using Single = HwyOps;
  using T = Element;
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  using M = hn::Mask<D>;
  using Bits = hn::Rebind<hwy::MakeUnsigned<T>, D>;
  static constexpr int kWidth = static_cast<int>(hn::MaxLanes(D()));
  static constexpr int kMantissaBits = sizeof(T) == 4 ? 23 : 52;

  static HWY_INLINE V Set(T value) { return hn::Set(D(), value); }
  static HWY_INLINE V Add(V a, V b) { return hn::Add(a, b); }
  static HWY_INLINE V Sub(V a, V b) { return hn::Sub(a, b); }
  static HWY_INLINE V Mul(V a, V b) { return hn::Mul(a, b); }
  static HWY_INLINE V Neg(V a) { return hn::Neg(a); }
  static HWY_INLINE V Abs(V a) { return hn::Abs(a); }
  static HWY_INLINE V Fma(V a, V b, V c) { return hn::MulAdd(a, b, c); }
  static HWY_INLINE V NegFma(V a, V b, V c) { return hn::NegMulAdd(a, b, c); }
  static HWY_INLINE V FmaSub(V a, V b, V c) { return hn::MulSub(a, b, c); }
  static HWY_INLINE V ClampAbove(V a, T limit) {
    const V bound = hn::Set(D(), limit);
    if constexpr (HWY_ARCH_X86) {
      // x86's minimum returns its second operand if either one is a NaN.
      return hn::Min(bound, a);
    } else {
      // NEON's minimum returns the number: a NaN logit would have a finite
      // loss.
      return hn::IfThenElse(hn::Gt(a, bound), bound, a);
    }
  }
  template <class Exponent>
  static HWY_INLINE V TimesPowerOfTwo(V a, const Exponent& exponent) {
#if HWY_TARGET <= HWY_AVX3
    return Scale(a, exponent.n);
#else
    // The first power of two is normal, so only the last product rounds.
    const V power = hn::BitCast(D(), hn::ShiftLeft<kMantissaBits>(
                                         hn::BitCast(Bits(), exponent.biased)));
    return hn::Mul(hn::Mul(a, power),
                   hn::Set(D(), sizeof(T) == 4 ? T{0x1p-64} : T{0x1p-512}));
#endif
  }
  static HWY_INLINE V Div(V a, V b) { return hn::Div(a, b); }
  static HWY_INLINE V Scale(V a, V n) {
#if HWY_TARGET <= HWY_AVX3
    if constexpr (sizeof(T) == 4) {
      return V{_mm512_scalef_ps(a.raw, n.raw)};
    } else {
      return V{_mm512_scalef_pd(a.raw, n.raw)};
    }
#else
    // Where 2^n is not normal there are two steps, of which only the last one
    // rounds.
    using Layout = ScaleLayout<T>;
    const M deep = hn::Lt(n, Set(-Layout::kStep));
    const V biased =
        hn::Add(hn::Add(n, hn::IfThenElseZero(deep, Set(Layout::kStep))),
                Set(Layout::kBias));
    const V power = hn::BitCast(
        D(), hn::ShiftLeft<kMantissaBits>(hn::BitCast(Bits(), biased)));
    // kStepFactor's bit is the one in which the bits of 1 and 1/2 differ.
    const V factor =
        hn::Or(Set(Layout::kStepFactor), hn::IfThenZeroElse(deep, Set(T{0.5})));
    return hn::Mul(hn::Mul(a, power), factor);
#endif
  }
  static HWY_INLINE V ExponentOf(V a) {
    // The sum carries into the exponent from sqrt(2) on. Below the bits of a
    // large power of two, the exponent's bits are then an integer of type T.
    const auto bits = hn::Add(hn::BitCast(Bits(), a),
                              hn::Set(Bits(), ExponentBits<T>::kCarry));
    const auto integer = hn::Or(hn::ShiftRight<kMantissaBits>(bits),
                                hn::Set(Bits(), ExponentBits<T>::kLarge));
    return hn::Sub(hn::BitCast(D(), integer),
                   hn::Set(D(), ExponentBits<T>::kLargeAndBias));
  }
  static HWY_INLINE M IsZero(V a) { return hn::Eq(a, hn::Zero(D())); }
  static HWY_INLINE M IsOne(V a) { return hn::Eq(a, hn::Set(D(), T{1})); }
  static HWY_INLINE M IsBelow(V a, T limit) {
    return hn::Lt(a, hn::Set(D(), limit));
  }
  static HWY_INLINE M HasNoSign(V a) {
    const hn::RebindToSigned<D> integers;
    return hn::RebindMask(
        D(), hn::Gt(hn::BitCast(integers, a), hn::Set(integers, -1)));
  }
  static HWY_INLINE M Differ(M m, M n) { return hn::Xor(m, n); }
  static HWY_INLINE V SelectNegative(V x, V a, V b) {
#if HWY_TARGET == HWY_AVX2
    return BlendBySign(x, a, b);
#else
    return hn::IfNegativeThenElse(x, a, b);
#endif
  }
  static HWY_INLINE V FlipUnlessNegative(V x, V a) {
    return hn::Xor(a, hn::AndNot(x, hn::SignBit(D())));
  }
  static HWY_INLINE V Select(M m, V a, V b) {
#if HWY_TARGET == HWY_AVX2
    return BlendBySign(hn::VecFromMask(D(), m), a, b);
#else
    return hn::IfThenElse(m, a, b);
#endif
  }
#if HWY_TARGET == HWY_AVX2
  // Returns `a` where the sign bit of `x` is set, else `b`. GCC 12 writes the
  // intrinsic as two more instructions if `x` comes from a comparison.
  static HWY_INLINE V BlendBySign(V x, V a, V b) {
    V chosen;
    if constexpr (sizeof(T) == 4) {
      asm("vblendvps %3, %2, %1, %0"
          : "=x"(chosen.raw)
          : "x"(b.raw), "xm"(a.raw), "x"(x.raw));
    } else {
      asm("vblendvpd %3, %2, %1, %0"
          : "=x"(chosen.raw)
          : "x"(b.raw), "xm"(a.raw), "x"(x.raw));
    }
    return chosen;
  }
#endif
  static HWY_INLINE V ZeroWhere(M m, V a) { return hn::IfThenZeroElse(m, a); }
  static HWY_INLINE V ZeroUnless(M m, V a) { return hn::IfThenElseZero(m, a); }
  static HWY_INLINE bool All(M m) { return hn::AllTrue(D(), m); }

  // --- The block loops need the functions below, the element functions do not.
  static HWY_INLINE V Load(const T* from) { return hn::LoadU(D(), from); }
  static HWY_INLINE void Store(V a, T* to) { hn::StoreU(a, D(), to); }
  static HWY_INLINE V LoadBytes(const uint8_t* from) {
    const hn::Rebind<uint8_t, D> bytes;
    const hn::Rebind<int32_t, D> words;
    const auto wide = hn::PromoteTo(words, hn::LoadU(bytes, from));
    if constexpr (sizeof(T) == 4) {
      return hn::ConvertTo(D(), wide);
    } else {
      return hn::PromoteTo(D(), wide);
    }
  }
  // Returns whether bits i, i + 1, ... are set; `i` is a multiple of kWidth.
  // Reads no byte beyond those that hold the bits.
  static HWY_INLINE M LoadBits(const uint8_t* bits, uint64_t i) {
    alignas(8) uint8_t mask[8] = {};
    if constexpr (kWidth >= 8) {
      std::memcpy(mask, bits + i / 8, kWidth / 8);
    } else {
      mask[0] = static_cast<uint8_t>(bits[i / 8] >> (i % 8));
    }
    return hn::LoadMaskBits(D(), mask);
  }
  static HWY_INLINE V LoadBFloat16(const uint16_t* from) {
    const hn::Rebind<uint16_t, D> halves;
    return hn::BitCast(
        D(), hn::ShiftLeft<16>(hn::PromoteTo(Bits(), hn::LoadU(halves, from))));
  }
  // Returns a float32 whose upper half is the nearest bfloat16, ties to even.
  // `a` is not a NaN.
  static HWY_INLINE hn::Vec<Bits> RoundToBFloat16(V a) {
    const Bits words;
    const auto bits = hn::BitCast(words, a);
    const auto is_odd = hn::TestBit(bits, hn::Set(words, 0x10000));
    return hn::IfThenElse(is_odd, hn::Add(bits, hn::Set(words, 0x8000)),
                          hn::Add(bits, hn::Set(words, 0x7fff)));
  }
  // Adds each element to its lane, in float64.
  static HWY_INLINE void AddToLanes(V a, double* lanes) {
    if constexpr (sizeof(T) == 8) {
      hn::Store(hn::Add(hn::Load(D(), lanes), a), D(), lanes);
    } else {
      const hn::Half<D> half;
      const hn::Rebind<double, decltype(half)> wide;
      constexpr int kHalf = kWidth / 2;
      // The values go through memory, because a load that converts is cheaper
      // than taking the upper half. The asm keeps the compiler from undoing it.
      alignas(64) T values[kWidth];
      hn::Store(a, D(), values);
      asm volatile("" : "+m"(values));
      const auto low = hn::PromoteTo(wide, hn::Load(half, values));
      const auto high = hn::PromoteTo(wide, hn::Load(half, values + kHalf));
      hn::Store(hn::Add(hn::Load(wide, lanes), low), wide, lanes);
      hn::Store(hn::Add(hn::Load(wide, lanes + kHalf), high), wide,
                lanes + kHalf);
    }
  }
  static HWY_INLINE M FirstN(int n) {
    return hn::FirstN(D(), static_cast<size_t>(n));
  }
  static HWY_INLINE M Never() { return hn::FirstN(D(), 0); }
  static HWY_INLINE M IsNan(V a) { return hn::IsNaN(a); }
  // The two functions below compare bits as integers, in which -0, negative
  // numbers and NaNs are larger than 1.
  static HWY_INLINE V MaxOfBits(V a, V b) {
    return hn::BitCast(D(),
                       hn::Max(hn::BitCast(Bits(), a), hn::BitCast(Bits(), b)));
  }
  static HWY_INLINE bool AnyAboveOneByBits(V a) {
    return !hn::AllFalse(
        Bits(), hn::Gt(hn::BitCast(Bits(), a), hn::BitCast(Bits(), Set(T{1}))));
  }
  static HWY_INLINE M Or(M a, M b) { return hn::Or(a, b); }
  static HWY_INLINE bool Any(M m) { return !hn::AllFalse(D(), m); }
};
