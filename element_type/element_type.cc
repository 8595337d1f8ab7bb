#include "element_type/element_type.h"

#include <cstddef>

namespace lossd {
namespace {

struct Row {
  std::string_view name;
  uint8_t bytes;  // of one element; 0: elements share their bytes
};

// In the order of the enum.
constexpr std::array<Row, kElementTypes.size()> kRows = {{
    {"float32", 4},
    {"float64", 8},
    {"bfloat16", 2},
    {"float16", 2},
    {"uint8", 1},
    {"bool", 1},
    {"bit", 0},
    {"int32", 4},
    {"int64", 8},
}};

constexpr const Row& RowOf(ElementType type) {
  return kRows[static_cast<size_t>(type)];
}

}  // namespace

uint64_t ByteSize(ElementType type, uint64_t count) {
  if (type == ElementType::kBit) return (count + 7) / 8;
  return count * RowOf(type).bytes;
}

std::string_view Name(ElementType type) { return RowOf(type).name; }

}  // namespace lossd
