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
  kFloat8E4M3Fn,  // the float8 types of the Open Compute Project
  kFloat8E5M2,
};

// Every type, in the order of the enum.
inline constexpr std::array kElementTypes = {
    ElementType::kFloat32,   ElementType::kFloat64, ElementType::kBFloat16,
    ElementType::kFloat16,   ElementType::kUint8,   ElementType::kBool,
    ElementType::kBit,       ElementType::kInt32,   ElementType::kInt64,
    ElementType::kInt8,      ElementType::kInt16,   ElementType::kFloat8E4M3Fn,
    ElementType::kFloat8E5M2};

// The types of logits, losses and gradients.
inline constexpr std::array kFloatTypes = {
    ElementType::kFloat32,      ElementType::kFloat64,
    ElementType::kBFloat16,     ElementType::kFloat16,
    ElementType::kFloat8E4M3Fn, ElementType::kFloat8E5M2};

constexpr bool IsFloat8(ElementType type) {
  return type == ElementType::kFloat8E4M3Fn || type == ElementType::kFloat8E5M2;
}

constexpr bool IsFloat(ElementType type) {
  return type <= ElementType::kFloat16 || IsFloat8(type);
}

// Returns the bytes that `count` elements take, rounded up to whole bytes.
// `count` is at most 2^60.
uint64_t ByteSize(ElementType type, uint64_t count);

// Returns "float32", "bit", ...: for messages, labels and logs.
std::string_view Name(ElementType type);

}  // namespace lossd

#endif  // LOSSD_ELEMENT_TYPE_ELEMENT_TYPE_H_
