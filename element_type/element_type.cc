#include "element_type/element_type.h"

namespace lossd {
namespace {

struct Row {
  std::string_view name;
  uint8_t bytes;  // of one element; 0: elements share their bytes
};

constexpr Row RowOf(ElementType type) {
  switch (type) {  // no default: the compiler reports a type that is left out
    case ElementType::kFloat32:
      return {"float32", 4};
    case ElementType::kFloat64:
      return {"float64", 8};
    case ElementType::kBFloat16:
      return {"bfloat16", 2};
    case ElementType::kFloat16:
      return {"float16", 2};
    case ElementType::kUint8:
      return {"uint8", 1};
    case ElementType::kBool:
      return {"bool", 1};
    case ElementType::kBit:
      return {"bit", 0};
    case ElementType::kInt32:
      return {"int32", 4};
    case ElementType::kInt64:
      return {"int64", 8};
    case ElementType::kInt8:
      return {"int8", 1};
    case ElementType::kInt16:
      return {"int16", 2};
    case ElementType::kFloat8E4M3Fn:
      return {"float8_e4m3fn", 1};
    case ElementType::kFloat8E5M2:
      return {"float8_e5m2", 1};
  }
  return {"unknown", 0};
}

}  // namespace

uint64_t ByteSize(ElementType type, uint64_t count) {
  if (type == ElementType::kBit) return (count + 7) / 8;
  return count * RowOf(type).bytes;
}

std::string_view Name(ElementType type) { return RowOf(type).name; }

}  // namespace lossd
