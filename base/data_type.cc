#include "base/data_type.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace lossd {
namespace {

// In the order of ElementType.
constexpr std::array<v1::DataType, kElementTypes.size()> kDataTypes = {
    v1::DATA_TYPE_FLOAT32,    v1::DATA_TYPE_FLOAT64,
    v1::DATA_TYPE_BFLOAT16,   v1::DATA_TYPE_FLOAT16,
    v1::DATA_TYPE_UINT8,      v1::DATA_TYPE_BOOL,
    v1::DATA_TYPE_BIT,        v1::DATA_TYPE_INT32,
    v1::DATA_TYPE_INT64,      v1::DATA_TYPE_INT8,
    v1::DATA_TYPE_INT16,      v1::DATA_TYPE_FLOAT8_E4M3FN,
    v1::DATA_TYPE_FLOAT8_E5M2};

}  // namespace

v1::DataType ToProto(ElementType type) {
  return kDataTypes[static_cast<size_t>(type)];
}

std::optional<ElementType> FromProto(v1::DataType dtype) {
  if (dtype == v1::DATA_TYPE_UNSPECIFIED) return ElementType::kFloat32;
  const auto* const found = std::ranges::find(kDataTypes, dtype);
  if (found == kDataTypes.end()) return std::nullopt;
  return kElementTypes[static_cast<size_t>(found - kDataTypes.begin())];
}

}  // namespace lossd
