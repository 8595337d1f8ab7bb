// The arithmetic policy of element-inl.h on a device. Every operation spells
// out its rounding, so that no compiler flag changes a bit (D7).
#ifndef LOSSD_KERNELS_CUDA_CUDA_OPS_CUH_
#define LOSSD_KERNELS_CUDA_CUDA_OPS_CUH_

#include <cstdint>

#include "kernels/element/exponent_bits.h"

namespace lossd::kernels::cuda {

template <class Element>
struct CudaOps;

template <>
struct CudaOps<float> {
  using T = float;
  using V = float;
  using M = bool;
  static __device__ V Set(T value) { return value; }
  static __device__ V Add(V a, V b) { return __fadd_rn(a, b); }
  static __device__ V Sub(V a, V b) { return __fsub_rn(a, b); }
  static __device__ V Mul(V a, V b) { return __fmul_rn(a, b); }
  static __device__ V Neg(V a) { return -a; }
  static __device__ V Abs(V a) { return fabsf(a); }
  static __device__ V Fma(V a, V b, V c) { return __fmaf_rn(a, b, c); }
  static __device__ V NegFma(V a, V b, V c) { return __fmaf_rn(-a, b, c); }
  static __device__ V FmaSub(V a, V b, V c) { return __fmaf_rn(a, b, -c); }
  static __device__ V ClampAbove(V a, T limit) { return a > limit ? limit : a; }
  template <class Exponent>
  static __device__ V TimesPowerOfTwo(V a, const Exponent& exponent) {
    const float power = __uint_as_float(__float_as_uint(exponent.biased) << 23);
    return __fmul_rn(__fmul_rn(a, power), 0x1p-64f);
  }
  static __device__ V Div(V a, V b) { return __fdiv_rn(a, b); }
  static __device__ V Scale(V a, V n) {
    // Two steps if 2^n is not normal; only the last one rounds.
    using Layout = ScaleLayout<T>;
    const bool deep = n < -Layout::kStep;
    const T biased =
        __fadd_rn(__fadd_rn(n, deep ? Layout::kStep : T{0}), Layout::kBias);
    const T power = __uint_as_float(__float_as_uint(biased) << 23);
    return __fmul_rn(__fmul_rn(a, power), deep ? Layout::kStepFactor : T{1});
  }
  static __device__ V ExponentOf(V a) {
    const unsigned bits = (__float_as_uint(a) + ExponentBits<T>::kCarry) >> 23;
    return __fsub_rn(__uint_as_float(bits | ExponentBits<T>::kLarge),
                     ExponentBits<T>::kLargeAndBias);
  }
  static __device__ M IsZero(V a) { return a == 0; }
  static __device__ M IsOne(V a) { return a == 1; }
  static __device__ M IsBelow(V a, T limit) { return a < limit; }
  static __device__ V Select(M m, V a, V b) { return m ? a : b; }
  static __device__ V ZeroWhere(M m, V a) { return m ? T{0} : a; }
  static __device__ V ZeroUnless(M m, V a) { return m ? a : T{0}; }
  static __device__ bool All(M m) { return m; }
  static __device__ V SelectNegative(V x, V a, V b) {
    return (__float_as_uint(x) >> 31) != 0 ? a : b;
  }
  static __device__ V FlipUnlessNegative(V x, V a) {
    return __uint_as_float(__float_as_uint(a) ^
                           (~__float_as_uint(x) & 0x80000000u));
  }
  static __device__ V CanonicalNan() { return __uint_as_float(0x7fc00000u); }
};

template <>
struct CudaOps<double> {
  using T = double;
  using V = double;
  using M = bool;
  static __device__ V Set(T value) { return value; }
  static __device__ V Add(V a, V b) { return __dadd_rn(a, b); }
  static __device__ V Sub(V a, V b) { return __dsub_rn(a, b); }
  static __device__ V Mul(V a, V b) { return __dmul_rn(a, b); }
  static __device__ V Neg(V a) { return -a; }
  static __device__ V Abs(V a) { return fabs(a); }
  static __device__ V Fma(V a, V b, V c) { return __fma_rn(a, b, c); }
  static __device__ V NegFma(V a, V b, V c) { return __fma_rn(-a, b, c); }
  static __device__ V FmaSub(V a, V b, V c) { return __fma_rn(a, b, -c); }
  static __device__ V ClampAbove(V a, T limit) { return a > limit ? limit : a; }
  template <class Exponent>
  static __device__ V TimesPowerOfTwo(V a, const Exponent& exponent) {
    const double power =
        __longlong_as_double(__double_as_longlong(exponent.biased) << 52);
    return __dmul_rn(__dmul_rn(a, power), 0x1p-512);
  }
  static __device__ V Div(V a, V b) { return __ddiv_rn(a, b); }
  static __device__ V Scale(V a, V n) {
    // Two steps if 2^n is not normal; only the last one rounds.
    using Layout = ScaleLayout<T>;
    const bool deep = n < -Layout::kStep;
    const T biased =
        __dadd_rn(__dadd_rn(n, deep ? Layout::kStep : T{0}), Layout::kBias);
    const T power = __longlong_as_double(__double_as_longlong(biased) << 52);
    return __dmul_rn(__dmul_rn(a, power), deep ? Layout::kStepFactor : T{1});
  }
  static __device__ V ExponentOf(V a) {
    const unsigned long long bits =
        (static_cast<unsigned long long>(__double_as_longlong(a)) +
         ExponentBits<T>::kCarry) >>
        52;
    return __dsub_rn(__longlong_as_double(static_cast<long long>(
                         bits | ExponentBits<T>::kLarge)),
                     ExponentBits<T>::kLargeAndBias);
  }
  static __device__ M IsZero(V a) { return a == 0; }
  static __device__ M IsOne(V a) { return a == 1; }
  static __device__ M IsBelow(V a, T limit) { return a < limit; }
  static __device__ V Select(M m, V a, V b) { return m ? a : b; }
  static __device__ V ZeroWhere(M m, V a) { return m ? T{0} : a; }
  static __device__ V ZeroUnless(M m, V a) { return m ? a : T{0}; }
  static __device__ bool All(M m) { return m; }
  static __device__ V SelectNegative(V x, V a, V b) {
    return __double_as_longlong(x) < 0 ? a : b;
  }
  static __device__ V FlipUnlessNegative(V x, V a) {
    return __double_as_longlong(x) < 0 ? a : -a;
  }
  static __device__ V CanonicalNan() {
    return __longlong_as_double(0x7ff8000000000000ll);
  }
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_CUDA_OPS_CUH_
