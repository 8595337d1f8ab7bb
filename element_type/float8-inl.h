// The float8 types of the Open Compute Project (OFP8), as half-inl.h has the
// half types: this is a part of that body.

// 1 sign, 4 exponent and 3 fraction bits, without infinity: the largest value
// is 448, and only the pattern after it is a NaN.
struct Float8E4M3Fn {  // D85
  uint8_t bits;
};

// 1 sign, 5 exponent and 2 fraction bits: the upper half of a Float16.
struct Float8E5M2 {
  uint8_t bits;
};

// Returns the value exactly. A NaN stays a NaN of the same sign.
LOSSD_ELEMENT_FN float FloatOf(Float8E4M3Fn value) {
  constexpr int32_t rebias = (127 - 7) << 23;
  // The steps are those of Float16: a subnormal gets a leading 1 by the
  // exponent 2^-6, which is then subtracted.
  const int32_t magnitude = (value.bits & 0x7f) << 20;
  const int32_t normal = magnitude + rebias;
  const int32_t subnormal = static_cast<int32_t>(
      BitsOf(FloatOfBits(static_cast<uint32_t>(normal + (1 << 23))) - 0x1p-6f));
  int32_t bits = ChooseBelow(magnitude, 1 << 23, subnormal, normal);
  bits = ChooseBelow(magnitude, 0x7f << 20, bits, 0x7fc00000);
  return FloatOfBits(static_cast<uint32_t>(bits) |
                     (static_cast<uint32_t>(value.bits & 0x80) << 24));
}

// Returns the value exactly. A NaN stays a NaN of the same sign.
LOSSD_ELEMENT_FN float FloatOf(Float8E5M2 value) {
  return FloatOf(Float16{static_cast<uint16_t>(value.bits << 8)});
}

// Rounds a float32 to a type of so many fraction bits: to nearest, ties to
// even. `magnitude` has the float32's bits without the sign. Returns the bits
// without the sign, and `beyond` where they would be `beyond` or more.
template <int kFractionBits, int kBias>
LOSSD_ELEMENT_FN int32_t RoundedMagnitude(int32_t magnitude, int32_t beyond) {
  constexpr int shift = 23 - kFractionBits;
  constexpr int32_t rebias = (127 - kBias) << 23;
  constexpr int32_t least_normal = rebias + (1 << 23);
  const int32_t normal = (magnitude - rebias + (1 << (shift - 1)) - 1 +
                          ((magnitude >> shift) & 1)) >>
                         shift;
  // The last bit of this power of two is the least subnormal: the sum rounds to
  // it.
  constexpr int32_t power = (127 + 24 - kBias - kFractionBits) << 23;
  const float sum = FloatOfBits(static_cast<uint32_t>(magnitude)) +
                    FloatOfBits(static_cast<uint32_t>(power));
  const int32_t subnormal = static_cast<int32_t>(BitsOf(sum)) - power;
  return ChooseBelow(magnitude, least_normal, subnormal,
                     ChooseBelow(normal, beyond, normal, beyond));
}

// Rounds to nearest, ties to even, and to NaN beyond the largest value. Every
// NaN becomes 0x7f.
LOSSD_ELEMENT_FN Float8E4M3Fn Float8E4M3FnOf(float value) {
  const uint32_t all = BitsOf(value);
  const int32_t rounded =
      RoundedMagnitude<3, 7>(static_cast<int32_t>(all & 0x7fffffffu), 0x7f);
  const int32_t sign = static_cast<int32_t>((all >> 24) & 0x80u);
  return {
      static_cast<uint8_t>(ChooseBelow(rounded, 0x7f, rounded | sign, 0x7f))};
}

// Rounds to nearest, ties to even, and to infinity beyond the largest value.
// Every NaN becomes 0x7e.
LOSSD_ELEMENT_FN Float8E5M2 Float8E5M2Of(float value) {
  const uint32_t all = BitsOf(value);
  const int32_t magnitude = static_cast<int32_t>(all & 0x7fffffffu);
  const int32_t rounded = RoundedMagnitude<2, 15>(magnitude, 0x7c) |
                          static_cast<int32_t>((all >> 24) & 0x80u);
  return {
      static_cast<uint8_t>(ChooseBelow(0x7f800000, magnitude, 0x7e, rounded))};
}
