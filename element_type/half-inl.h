// Conversion between stored elements and arithmetic types, with one rounding.
//
// This file is a body without an include guard. A backend that is compiled for
// an instruction set of its own includes it in its own namespace, after
// element_type/element_type.h and with LOSSD_ELEMENT_FN defined as what stands
// before a function. All other code includes element_type/half.h.
//
// Every conversion consists of integer steps and of sums that are exact or
// rounded once, so its bits are the same on every machine. The machines' own
// instructions are not used: some of them flush subnormals or keep a NaN's
// payload. Nothing branches on an element, so that a compiler can turn a loop
// over these functions into vector code.

// 1 sign, 8 exponent and 7 fraction bits: the upper half of a float32.
struct BFloat16 {  // D12
  uint16_t bits;
};

// 1 sign, 5 exponent and 10 fraction bits: IEEE 754 binary16.
struct Float16 {
  uint16_t bits;
};

LOSSD_ELEMENT_FN uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

LOSSD_ELEMENT_FN float FloatOfBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Returns a where x < limit, else b; x and limit are not negative. It has no
// ?:, which a compiler may turn into a branch around the sum that a or b needs.
LOSSD_ELEMENT_FN int32_t ChooseBelow(int32_t x, int32_t limit, int32_t a,
                                     int32_t b) {
  return b ^ ((a ^ b) & ((x - limit) >> 31));
}

// Returns the value exactly. A NaN stays a NaN of the same sign.
LOSSD_ELEMENT_FN float FloatOf(BFloat16 value) {
  return FloatOfBits(static_cast<uint32_t>(value.bits) << 16);
}

// Returns the value exactly. A NaN stays a NaN of the same sign.
LOSSD_ELEMENT_FN float FloatOf(Float16 value) {
  constexpr int32_t rebias = (127 - 15) << 23;
  // The exponent and the fraction, shifted to where float32 has them.
  const int32_t magnitude = (value.bits & 0x7fff) << 13;
  const int32_t normal = magnitude + rebias;
  // A subnormal has no leading 1. The exponent 2^-14 gives it one, which is
  // then subtracted.
  const int32_t subnormal = static_cast<int32_t>(BitsOf(
      FloatOfBits(static_cast<uint32_t>(normal + (1 << 23))) - 0x1p-14f));
  int32_t bits = ChooseBelow(magnitude, 1 << 23, subnormal, normal);
  bits = ChooseBelow(magnitude, 0x1f << 23, bits, magnitude | 0x7f800000);
  return FloatOfBits(static_cast<uint32_t>(bits) |
                     (static_cast<uint32_t>(value.bits & 0x8000) << 16));
}

// Rounds to nearest, ties to even, and to infinity beyond the largest value.
// Every NaN becomes 0x7fc0.
LOSSD_ELEMENT_FN BFloat16 BFloat16Of(float value) {
  const uint32_t bits = BitsOf(value);
  const int32_t magnitude = static_cast<int32_t>(bits & 0x7fffffffu);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<uint16_t>(magnitude > 0x7f800000 ? 0x7fc0u : rounded)};
}

// Rounds to nearest, ties to even, and to infinity beyond the largest value.
// Every NaN becomes 0x7e00.
LOSSD_ELEMENT_FN Float16 Float16Of(float value) {
  constexpr int32_t rebias = (127 - 15) << 23;
  constexpr int32_t least_normal = 0x38800000;  // 2^-14
  constexpr int32_t too_large = 0x47800000;     // 2^16
  const uint32_t all = BitsOf(value);
  const int32_t magnitude = static_cast<int32_t>(all & 0x7fffffffu);
  const int32_t normal =
      (magnitude - rebias + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // The last bit of 1/2 is the least subnormal: the sum rounds to it.
  const float half = FloatOfBits(static_cast<uint32_t>(magnitude)) + 0.5f;
  const int32_t subnormal = static_cast<int32_t>(BitsOf(half)) - 0x3f000000;
  int32_t bits = ChooseBelow(magnitude, least_normal, subnormal, normal);
  bits = ChooseBelow(magnitude, too_large, bits, 0x7c00);
  bits |= static_cast<int32_t>((all >> 16) & 0x8000u);
  return {
      static_cast<uint16_t>(ChooseBelow(0x7f800000, magnitude, 0x7e00, bits))};
}

#include "element_type/float8-inl.h"

// Rounds to odd: returns `value` if it is a float32, else the neighbour whose
// last bit is 1. Rounding the result to at most 22 bits gives the same as
// rounding `value` itself.
LOSSD_ELEMENT_FN float OddFloatOf(double value) {
  const float nearest = static_cast<float>(value);
  const double back = static_cast<double>(nearest);
  // A result larger than the value goes back by one step. The value then lies
  // between the result and the next step, and one of the two is odd.
  const uint32_t past = fabs(back) > fabs(value) ? 1 : 0;
  const uint32_t inexact = back != value ? 1 : 0;
  return FloatOfBits((BitsOf(nearest) - past) | inexact);
}
LOSSD_ELEMENT_FN float OddFloatOf(float value) { return value; }

// Returns a stored element as T, which is float or double; rounds if T has
// fewer digits.
template <class T, class Stored>
LOSSD_ELEMENT_FN T Loaded(Stored value) {
  return static_cast<T>(value);
}
template <class T>
LOSSD_ELEMENT_FN T Loaded(BFloat16 value) {
  return static_cast<T>(FloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN T Loaded(Float16 value) {
  return static_cast<T>(FloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN T Loaded(Float8E4M3Fn value) {
  return static_cast<T>(FloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN T Loaded(Float8E5M2 value) {
  return static_cast<T>(FloatOf(value));
}

// Stores a result of type T, rounded once. Every NaN becomes the canonical one
// of the stored type: a machine's own conversion may keep another payload.
template <class T>
LOSSD_ELEMENT_FN void StoreRounded(T value, BFloat16* to) {
  *to = BFloat16Of(OddFloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN void StoreRounded(T value, Float16* to) {
  *to = Float16Of(OddFloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN void StoreRounded(T value, Float8E4M3Fn* to) {
  *to = Float8E4M3FnOf(OddFloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN void StoreRounded(T value, Float8E5M2* to) {
  *to = Float8E5M2Of(OddFloatOf(value));
}
template <class T>
LOSSD_ELEMENT_FN void StoreRounded(T value, float* to) {
  const uint32_t bits = BitsOf(static_cast<float>(value));
  const int32_t magnitude = static_cast<int32_t>(bits & 0x7fffffffu);
  *to = FloatOfBits(magnitude > 0x7f800000 ? 0x7fc00000u : bits);
}
template <class T>
LOSSD_ELEMENT_FN void StoreRounded(T value, double* to) {
  const double wide = static_cast<double>(value);
  const uint64_t nan = 0x7ff8000000000000u;
  uint64_t bits;
  memcpy(&bits, &wide, sizeof(bits));
  bits = (bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u ? nan : bits;
  memcpy(to, &bits, sizeof(bits));
}

// NOLINTBEGIN(bugprone-branch-clone): the branches differ in the type alone.

// Calls `use` with a value of the C++ type that stores `type`, which is one of
// kFloatTypes.
template <class Use>
LOSSD_ELEMENT_FN void WithStoredFloat(ElementType type, Use use) {
  switch (type) {
    case ElementType::kBFloat16:
      return use(BFloat16());
    case ElementType::kFloat16:
      return use(Float16());
    case ElementType::kFloat8E4M3Fn:
      return use(Float8E4M3Fn());
    case ElementType::kFloat8E5M2:
      return use(Float8E5M2());
    case ElementType::kFloat64:
      return use(double());
    default:
      return use(float());
  }
}

// Calls `use` with a value of the C++ type that stores `type`, which is any but
// kBit: its elements share their bytes.
template <class Use>
LOSSD_ELEMENT_FN void WithStored(ElementType type, Use use) {
  switch (type) {
    case ElementType::kUint8:
    case ElementType::kBool:
      return use(uint8_t());
    case ElementType::kInt32:
      return use(int32_t());
    case ElementType::kInt64:
      return use(int64_t());
    case ElementType::kInt8:
      return use(int8_t());
    case ElementType::kInt16:
      return use(int16_t());
    default:
      return WithStoredFloat(type, use);
  }
}

// NOLINTEND(bugprone-branch-clone)
