#include "client/cpp/half.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lossd::client {
namespace {

// As IEEE 754 lays floating-point numbers out: sign, exponent, fraction.
struct Format {
  int fraction_bits;
  int bias;
  int infinite_exponent() const { return (1 << (15 - fraction_bits)) - 1; }
  // Of the last bit of a subnormal number.
  int least_exponent() const { return 1 - bias - fraction_bits; }
};

Format FormatOf(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_BFLOAT16 ? Format{7, 127} : Format{10, 15};
}

}  // namespace

bool IsHalf(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_BFLOAT16 || dtype == v1::DATA_TYPE_FLOAT16;
}

double HalfToDouble(v1::DataType dtype, uint16_t bits) {
  const Format format = FormatOf(dtype);
  const int steps_of_one = 1 << format.fraction_bits;
  const int exponent = (bits & 0x7FFF) / steps_of_one;
  const int fraction = bits & (steps_of_one - 1);
  double size = 0;
  if (exponent == format.infinite_exponent()) {
    size = fraction == 0 ? std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    size = std::ldexp(fraction, format.least_exponent());
  } else {
    size = std::ldexp(steps_of_one + fraction,
                      format.least_exponent() + exponent - 1);
  }
  return (bits & 0x8000) != 0 ? -size : size;
}

std::optional<uint16_t> DoubleToHalf(v1::DataType dtype, double value) {
  const Format format = FormatOf(dtype);
  const int steps_of_one = 1 << format.fraction_bits;
  const int infinity = format.infinite_exponent() * steps_of_one;
  const int sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::fabs(value);
  int bits = 0;
  if (std::isnan(value)) {
    bits = infinity + steps_of_one / 2;
  } else if (std::isinf(value)) {
    bits = infinity;
  } else if (size > 0) {
    // Counted in last bits. A normal number's leading one adds one to its
    // exponent, and so does a fraction that rounds up to the next power of two.
    const int last_bit = std::max(std::ilogb(size) - format.fraction_bits,
                                  format.least_exponent());
    const auto steps =
        static_cast<int>(std::nearbyint(std::ldexp(size, -last_bit)));
    bits = (last_bit - format.least_exponent()) * steps_of_one + steps;
    if (bits >= infinity) return std::nullopt;
  }
  return static_cast<uint16_t>(sign | bits);
}

}  // namespace lossd::client
