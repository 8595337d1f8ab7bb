#include "server/request/typed_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

using Values = google::protobuf::RepeatedField<double>;

// Whether T holds `value`: exactly for integers, within the range for floats.
template <typename T>
bool Holds(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return !std::isfinite(value) || std::isfinite(static_cast<T>(value));
  } else {
    // 2^(digits) is exact in float64, max() of int64 is not.
    const double limit = std::ldexp(1.0, std::numeric_limits<T>::digits);
    const double least = std::is_signed_v<T> ? -limit : 0;
    return value >= least && value < limit && std::trunc(value) == value;
  }
}

absl::Status DoesNotFit(absl::string_view path, int index, double value,
                        kernels::ElementType type) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ".values[", index, "]: ", NumberText(value),
                   " is not a ", View(kernels::Name(type))));
}

template <typename T>
absl::Status Store(absl::string_view path, const Values& values,
                   kernels::ElementType type, std::vector<std::byte>* out) {
  for (int i = 0; i < values.size(); ++i) {
    if (!Holds<T>(values[i])) return DoesNotFit(path, i, values[i], type);
    const T element = static_cast<T>(values[i]);
    std::memcpy(out->data() + static_cast<size_t>(i) * sizeof(T), &element,
                sizeof(T));
  }
  return absl::OkStatus();
}

// bool: a byte each; bit: packed.
absl::Status StoreTruths(absl::string_view path, const Values& values,
                         kernels::ElementType type,
                         std::vector<std::byte>* out) {
  for (int i = 0; i < values.size(); ++i) {
    if (values[i] != 0 && values[i] != 1)
      return DoesNotFit(path, i, values[i], type);
    if (values[i] == 0) continue;
    const size_t index = static_cast<size_t>(i);
    if (type == kernels::ElementType::kBool) {
      (*out)[index] = std::byte{1};
    } else {
      (*out)[index / 8] |= std::byte{1} << (index % 8);
    }
  }
  return absl::OkStatus();
}

// A half type: bits of the significand with its leading one, and the least
// exponent of a last bit.
struct HalfFormat {
  int digits;
  int least_exponent;
  double largest;
};
constexpr HalfFormat kBFloat16Format = {8, -133, 0x1.FEp127};
constexpr HalfFormat kFloat16Format = {11, -24, 65504};

// To nearest, ties to even; once, straight from float64.
double Rounded(double value, const HalfFormat& format) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int last_bit =
      std::max(std::ilogb(value) + 1 - format.digits, format.least_exponent);
  return std::ldexp(std::nearbyint(std::ldexp(value, -last_bit)), last_bit);
}

uint16_t BFloat16Bits(double rounded) {
  const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(rounded));
  // A NaN may have its payload in the bits that are cut off.
  return static_cast<uint16_t>(bits >> 16 | (std::isnan(rounded) ? 0x40U : 0U));
}

uint16_t Float16Bits(double rounded) {
  const unsigned sign = std::signbit(rounded) ? 0x8000U : 0U;
  const double size = std::fabs(rounded);
  if (std::isnan(size)) return static_cast<uint16_t>(sign | 0x7E00U);
  if (std::isinf(size)) return static_cast<uint16_t>(sign | 0x7C00U);
  // Counted in last bits; the leading one of a normal number adds one to its
  // exponent.
  const int exponent = size < 0x1p-14 ? -14 : std::ilogb(size);
  const auto steps = static_cast<unsigned>(std::ldexp(size, 10 - exponent));
  return static_cast<uint16_t>(
      sign | (static_cast<unsigned>(exponent + 14) * 1024U + steps));
}

absl::Status StoreHalves(absl::string_view path, const Values& values,
                         kernels::ElementType type,
                         std::vector<std::byte>* out) {
  const bool wide = type == kernels::ElementType::kBFloat16;
  const HalfFormat& format = wide ? kBFloat16Format : kFloat16Format;
  for (int i = 0; i < values.size(); ++i) {
    const double rounded = Rounded(values[i], format);
    if (std::isfinite(rounded) && std::fabs(rounded) > format.largest) {
      return DoesNotFit(path, i, values[i], type);
    }
    const uint16_t bits = wide ? BFloat16Bits(rounded) : Float16Bits(rounded);
    std::memcpy(out->data() + static_cast<size_t>(i) * sizeof(bits), &bits,
                sizeof(bits));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status StoreValues(absl::string_view path, const Values& values,
                         kernels::ElementType type,
                         std::vector<std::byte>* out) {
  using kernels::ElementType;
  out->assign(kernels::ByteSize(type, static_cast<uint64_t>(values.size())),
              std::byte{0});
  switch (type) {
    case ElementType::kFloat32:
      return Store<float>(path, values, type, out);
    case ElementType::kFloat64:
      return Store<double>(path, values, type, out);
    case ElementType::kUint8:
      return Store<uint8_t>(path, values, type, out);
    case ElementType::kInt32:
      return Store<int32_t>(path, values, type, out);
    case ElementType::kInt64:
      return Store<int64_t>(path, values, type, out);
    case ElementType::kBool:
    case ElementType::kBit:
      return StoreTruths(path, values, type, out);
    case ElementType::kBFloat16:
    case ElementType::kFloat16:
      return StoreHalves(path, values, type, out);
  }
  return absl::InternalError("an element type that StoreValues does not know");
}

}  // namespace lossd::request
