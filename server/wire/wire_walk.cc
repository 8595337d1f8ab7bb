#include "server/wire/wire_walk.h"

#include <limits>

namespace lossd::wire {

bool ReadTag(SliceCursor& cursor, Tag* tag) {
  uint64_t value;
  if (!cursor.ReadVarint(&value)) return false;
  if (value > std::numeric_limits<uint32_t>::max() || value < 8) return false;
  *tag = {static_cast<uint32_t>(value >> 3), static_cast<uint32_t>(value & 7)};
  return true;
}

void AppendTag(Tag tag, std::string* out) {
  AppendVarint(uint64_t{tag.number} << 3 | tag.type, out);
}

bool ReadLength(SliceCursor& cursor, uint64_t end, uint64_t* length) {
  return cursor.ReadVarint(length) && cursor.left() >= end &&
         *length <= cursor.left() - end &&
         *length <= std::numeric_limits<int32_t>::max() - 16;
}

bool CopyField(SliceCursor& cursor, Tag tag, uint64_t end, std::string* out) {
  AppendTag(tag, out);
  uint64_t value;
  switch (tag.type) {
    case kVarint:
      if (!cursor.ReadVarint(&value)) return false;
      AppendVarint(value, out);
      return cursor.left() >= end;
    case kFixed64:
    case kFixed32: {
      const uint64_t size = tag.type == kFixed64 ? 8 : 4;
      if (cursor.left() < end + size) return false;
      cursor.Copy(size, out);
      return true;
    }
    case kLength:
      if (!ReadLength(cursor, end, &value)) return false;
      AppendVarint(value, out);
      cursor.Copy(value, out);
      return true;
    default:
      return false;
  }
}

}  // namespace lossd::wire
