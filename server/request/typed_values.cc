#include "server/request/typed_values.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "element_type/half.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

using Values = google::protobuf::RepeatedField<double>;

// Returns true if T holds `value`: an integer type exactly, a floating-point
// type within its range.
template <typename T>
bool Holds(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    return !std::isfinite(value) || std::isfinite(static_cast<T>(value));
  } else {
    // 2^digits is exact in float64, but max() of int64 is not.
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

// Stores bools in a byte each, and bits packed.
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

// Stores elements of the floating-point types that C++ lacks.
absl::Status StoreNarrow(absl::string_view path, const Values& values,
                         kernels::ElementType type,
                         std::vector<std::byte>* out) {
  const size_t size = kernels::ByteSize(type, 1);
  for (int i = 0; i < values.size(); ++i) {
    const std::optional<uint16_t> bits = DoubleToNarrow(type, values[i]);
    if (!bits.has_value()) return DoesNotFit(path, i, values[i], type);
    std::memcpy(out->data() + static_cast<size_t>(i) * size, &*bits, size);
  }
  return absl::OkStatus();
}

// Returns the integer of T that is nearest to `value`, ties to even; NaN: 0.
template <typename T>
double NearestInteger(double value) {
  const double limit = std::ldexp(1.0, std::numeric_limits<T>::digits);
  const double least = std::is_signed_v<T> ? -limit : 0;
  if (std::isnan(value)) return 0;
  return std::clamp(std::nearbyint(value), least, limit - 1);
}

}  // namespace

double NearestElement(kernels::ElementType type, double value) {
  using kernels::ElementType;
  switch (type) {
    case ElementType::kFloat32:
      return static_cast<float>(value);
    case ElementType::kFloat64:
      return value;
    case ElementType::kBFloat16:
    case ElementType::kFloat16:
    case ElementType::kFloat8E4M3Fn:
    case ElementType::kFloat8E5M2: {
      const std::optional<uint16_t> bits = DoubleToNarrow(type, value);
      if (bits) return NarrowToDouble(type, *bits);
      // FLOAT8_E4M3FN has no infinity; its largest value is 448.
      const double largest = type == ElementType::kFloat8E4M3Fn
                                 ? 448
                                 : std::numeric_limits<double>::infinity();
      return std::copysign(largest, value);
    }
    case ElementType::kUint8:
      return NearestInteger<uint8_t>(value);
    case ElementType::kInt8:
      return NearestInteger<int8_t>(value);
    case ElementType::kInt16:
      return NearestInteger<int16_t>(value);
    case ElementType::kInt32:
      return NearestInteger<int32_t>(value);
    case ElementType::kInt64:
      // 2^63 - 1 is no float64; the largest one below 2^63 is.
      return Holds<int64_t>(value) ? value
                                   : std::min(NearestInteger<int64_t>(value),
                                              0x1.fffffffffffffp62);
    case ElementType::kBool:
    case ElementType::kBit:
      return NearestInteger<bool>(value);
  }
  return 0;
}

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
    case ElementType::kInt8:
      return Store<int8_t>(path, values, type, out);
    case ElementType::kInt16:
      return Store<int16_t>(path, values, type, out);
    case ElementType::kBool:
    case ElementType::kBit:
      return StoreTruths(path, values, type, out);
    case ElementType::kBFloat16:
    case ElementType::kFloat16:
    case ElementType::kFloat8E4M3Fn:
    case ElementType::kFloat8E5M2:
      return StoreNarrow(path, values, type, out);
  }
  return absl::InternalError("an element type that StoreValues does not know");
}

}  // namespace lossd::request
