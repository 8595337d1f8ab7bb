// The types in which tensors store their elements: size and name of each.
#ifndef LOSSD_ELEMENT_TYPE_ELEMENT_TYPE_H_
#define LOSSD_ELEMENT_TYPE_ELEMENT_TYPE_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace lossd {

// How one element is stored. Elements of several bytes are little-endian.
enum class ElementType : uint8_t {
  kFloat32,
  kFloat64,
  kBFloat16,
  kFloat16,
  kUint8,
  kBool,
  kBit,  // packed: element i is bit i % 8 of byte i / 8
  kInt32,
  kInt64,
  kInt8,
  kInt16,
};

// Every type, in the order of the enum.
inline constexpr std::array kElementTypes = {
    ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16,
    ElementType::kFloat16, ElementType::kUint8,   ElementType::kBool,
    ElementType::kBit,     ElementType::kInt32,   ElementType::kInt64,
    ElementType::kInt8,    ElementType::kInt16};

// The types of logits, losses and gradients.
inline constexpr std::array kFloatTypes = {
    ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16,
    ElementType::kFloat16};

constexpr bool IsFloat(ElementType type) {
  return type <= ElementType::kFloat16;
}

// Returns the bytes that `count` elements take, rounded up to whole bytes.
// `count` is at most 2^60.
uint64_t ByteSize(ElementType type, uint64_t count);

// Returns "float32", "bit", ...: for messages, labels and logs.
std::string_view Name(ElementType type);

}  // namespace lossd

#endif  // LOSSD_ELEMENT_TYPE_ELEMENT_TYPE_H_
