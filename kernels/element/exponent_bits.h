// The constants with which every policy implements ExponentOf() and Scale().
// See element-inl.h.
#ifndef LOSSD_KERNELS_ELEMENT_EXPONENT_BITS_H_
#define LOSSD_KERNELS_ELEMENT_EXPONENT_BITS_H_

#include <cstdint>

namespace lossd::kernels {

template <class T>
struct ExponentBits;

template <>
struct ExponentBits<float> {
  // The bits of 1 minus the bits of sqrt(1/2), as integers.
  static constexpr uint32_t kCarry = 0x3f800000u - 0x3f3504f3u;
  // The bits of 2^23. Or-ed with a small integer they are 2^23 plus that
  // integer.
  static constexpr uint32_t kLarge = 0x4b000000u;
  static constexpr float kLargeAndBias = 8388608.0f + 127.0f;
};

template <>
struct ExponentBits<double> {
  static constexpr uint64_t kCarry = 0x3ff0000000000000u - 0x3fe6a09e667f3bcdu;
  static constexpr uint64_t kLarge = 0x4330000000000000u;  // 2^52
  static constexpr double kLargeAndBias = 4503599627370496.0 + 1023.0;
};

template <class T>
struct ScaleLayout;

template <>
struct ScaleLayout<float> {
  // 1.5 * 2^23 plus the exponent's bias. The low bits of its sum with an
  // integer n are the exponent bits of 2^n.
  static constexpr float kBias = 12582912.0f + 127.0f;
  static constexpr float kStep = 126.0f;
  static constexpr float kStepFactor = 0x1p-126f;
};

template <>
struct ScaleLayout<double> {
  static constexpr double kBias = 6755399441055744.0 + 1023.0;
  static constexpr double kStep = 1022.0;
  static constexpr double kStepFactor = 0x1p-1022;
};

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_ELEMENT_EXPONENT_BITS_H_
