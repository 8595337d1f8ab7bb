// The arithmetic policy of element-inl.h in plain C++, one element at a time.
// std::fma is the only library function, and it is rounded once everywhere.
// Machines without fused multiply-add in their vectors compute with it, and
// tests hold the vector policies to its bits.
#ifndef LOSSD_KERNELS_CPU_SCALAR_OPS_H_
#define LOSSD_KERNELS_CPU_SCALAR_OPS_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "element_type/half.h"
#include "kernels/element/exponent_bits.h"

namespace lossd::kernels::cpu {

template <class Element>
struct ScalarOps {
  using Single = ScalarOps;
  using T = Element;
  using V = Element;
  using M = bool;
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  static constexpr int kWidth = 1;
  static constexpr int kStepsAhead = 0;
  static constexpr int kMantissaBits = sizeof(T) == 4 ? 23 : 52;

  static V Set(T value) { return value; }
  static V Add(V a, V b) { return a + b; }
  static V Sub(V a, V b) { return a - b; }
  static V Mul(V a, V b) { return a * b; }
  static V Neg(V a) { return -a; }
  static V Abs(V a) { return std::fabs(a); }
  static V Fma(V a, V b, V c) { return std::fma(a, b, c); }
  static V NegFma(V a, V b, V c) { return std::fma(-a, b, c); }
  static V FmaSub(V a, V b, V c) { return std::fma(a, b, -c); }
  static V ClampAbove(V a, T limit) { return a > limit ? limit : a; }
  // The first power of two is normal, so only the last product rounds.
  template <class Exponent>
  static V TimesPowerOfTwo(V a, const Exponent& exponent) {
    const T power = std::bit_cast<T>(static_cast<Bits>(
        std::bit_cast<Bits>(exponent.biased) << kMantissaBits));
    return a * power * (kMantissaBits == 23 ? T{0x1p-64} : T{0x1p-512});
  }
  static V Div(V a, V b) { return a / b; }
  static V Scale(V a, V n) {
    // Where 2^n is not normal there are two steps, of which only the last one
    // rounds.
    using Layout = ScaleLayout<T>;
    const bool deep = n < -Layout::kStep;
    const T biased = n + (deep ? Layout::kStep : T{0}) + Layout::kBias;
    const T power = std::bit_cast<T>(
        static_cast<Bits>(std::bit_cast<Bits>(biased) << kMantissaBits));
    return a * power * (deep ? Layout::kStepFactor : T{1});
  }
  static V ExponentOf(V a) {
    const Bits bits = static_cast<Bits>(
        (std::bit_cast<Bits>(a) + ExponentBits<T>::kCarry) >> kMantissaBits);
    return std::bit_cast<T>(bits | ExponentBits<T>::kLarge) -
           ExponentBits<T>::kLargeAndBias;
  }
  static M IsZero(V a) { return a == 0; }
  static M IsOne(V a) { return a == 1; }
  static M IsBelow(V a, T limit) { return a < limit; }
  static M HasNoSign(V a) { return !std::signbit(a); }
  static M Differ(M m, M n) { return m != n; }
  static V SelectNegative(V x, V a, V b) { return std::signbit(x) ? a : b; }
  static V FlipUnlessNegative(V x, V a) { return std::signbit(x) ? a : -a; }
  static V Select(M m, V a, V b) { return m ? a : b; }
  static V ZeroWhere(M m, V a) { return m ? T{0} : a; }
  static V ZeroUnless(M m, V a) { return m ? a : T{0}; }
  static bool All(M m) { return m; }

  static V CanonicalNan() { return std::numeric_limits<T>::quiet_NaN(); }

  // --- The block loops need the functions below, the element functions do not.
  static V Load(const T* from) {
    T value;  // `from` has any alignment
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  static void Store(V a, T* to) { *to = a; }
  static V LoadBytes(const uint8_t* from) { return static_cast<T>(*from); }
  static M LoadBits(const uint8_t* bits, uint64_t i) {
    return ((bits[i / 8] >> (i % 8)) & 1) != 0;
  }
  static V LoadBFloat16(const uint16_t* from) {
    BFloat16 half;
    std::memcpy(&half, from, sizeof(half));
    return FloatOf(half);
  }
  static void StoreBFloat16(V a, uint16_t* to) {
    const BFloat16 rounded = BFloat16Of(a);
    std::memcpy(to, &rounded, sizeof(rounded));
  }
  static void AddToLanes(V a, double* lanes) {
    lanes[0] += static_cast<double>(a);
  }
  static M FirstN(int n) { return n > 0; }
  static M Never() { return false; }
  static M IsNan(V a) { return a != a; }
  // The two functions below compare bits as integers, in which -0, negative
  // numbers and NaNs are larger than 1.
  static V MaxOfBits(V a, V b) {
    return std::bit_cast<Bits>(a) < std::bit_cast<Bits>(b) ? b : a;
  }
  static bool AnyAboveOneByBits(V a) {
    return std::bit_cast<Bits>(a) > std::bit_cast<Bits>(T{1});
  }
  static M Or(M a, M b) { return a || b; }
  static bool Any(M m) { return m; }
};

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_SCALAR_OPS_H_
