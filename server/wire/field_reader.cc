#include "server/wire/field_reader.h"

#include <limits>

#include "absl/container/inlined_vector.h"

namespace lossd::wire {
namespace {

// The bounds are those of protobuf's parse_context.h.
constexpr int kMaxTagBytes = 5;
constexpr int kMaxVarintBytes = 10;
constexpr uint64_t kMaxLength = std::numeric_limits<int32_t>::max() - 16;
constexpr size_t kMaxDepth = 100;

}  // namespace

std::optional<Field> FieldReader::Next() {
  while (ok_ && !left_.empty()) {
    Field field;
    ok_ = ReadTag(&field.tag) && ReadValue(&field);
    if (ok_ && field.tag.type != kStartGroup) return field;
  }
  return std::nullopt;
}

bool FieldReader::ReadByte(uint8_t* byte) {
  if (left_.empty()) return false;
  *byte = static_cast<uint8_t>(left_.front());
  left_.remove_prefix(1);
  return true;
}

// Bits beyond the 64th are dropped.
bool FieldReader::ReadVarint(uint64_t* value) {
  *value = 0;
  uint8_t byte = 0;
  for (int i = 0; i < kMaxVarintBytes; ++i) {
    if (!ReadByte(&byte)) return false;
    *value |= uint64_t{byte & 0x7fU} << (7 * i);
    if (byte < 0x80) return true;
  }
  return false;
}

// Bits beyond the 32nd are dropped.
bool FieldReader::ReadTag(Tag* tag) {
  const size_t before = left_.size();
  uint64_t value = 0;
  if (!ReadVarint(&value) || before - left_.size() > kMaxTagBytes) return false;
  const auto bits = static_cast<uint32_t>(value);
  *tag = {.number = bits >> 3, .type = bits & 7};
  return tag->number != 0;
}

bool FieldReader::ReadBytes(absl::string_view* bytes) {
  const size_t before = left_.size();
  uint64_t length = 0;
  if (!ReadVarint(&length) || before - left_.size() > kMaxTagBytes ||
      length > kMaxLength || length > left_.size()) {
    return false;
  }
  *bytes = left_.substr(0, length);
  return Skip(length);
}

bool FieldReader::ReadValue(Field* field) {
  switch (field->tag.type) {
    case kVarint:
      return ReadVarint(&field->varint);
    case kFixed64:
      return Skip(8);
    case kLength:
      return ReadBytes(&field->bytes);
    case kStartGroup:
      return SkipGroup(field->tag.number);
    case kFixed32:
      return Skip(4);
    default:
      return false;
  }
}

bool FieldReader::SkipGroup(uint32_t number) {
  absl::InlinedVector<uint32_t, 8> open = {number};
  while (!open.empty()) {
    Field field;
    if (!ReadTag(&field.tag)) return false;
    if (field.tag.type == kEndGroup) {
      if (field.tag.number != open.back()) return false;
      open.pop_back();
    } else if (field.tag.type == kStartGroup) {
      if (open.size() == kMaxDepth) return false;
      open.push_back(field.tag.number);
    } else if (!ReadValue(&field)) {
      return false;
    }
  }
  return true;
}

bool FieldReader::Skip(uint64_t count) {
  if (count > left_.size()) return false;
  left_.remove_prefix(count);
  return true;
}

bool IsMessage(absl::string_view bytes) {
  FieldReader reader(bytes);
  while (reader.Next()) {
  }
  return reader.ok();
}

}  // namespace lossd::wire
