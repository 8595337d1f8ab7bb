// Steps of a walk over protobuf's wire format, slice by slice.
#ifndef LOSSD_SERVER_WIRE_WIRE_WALK_H_
#define LOSSD_SERVER_WIRE_WIRE_WALK_H_

#include <cstdint>
#include <string>

#include "server/wire/slice_cursor.h"

namespace lossd::wire {

// Wire types of protobuf's encoding.
enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kFixed32 = 5
};

struct Tag {
  uint32_t number;
  uint32_t type;
};

// Field numbers take 29 bits; 0 is none. False: not a tag.
bool ReadTag(SliceCursor& cursor, Tag* tag);

void AppendTag(Tag tag, std::string* out);

// A length that stays within the cursor and within `end`, bytes left at the end
// of the enclosing message. The upper bound is that of the generated parser.
bool ReadLength(SliceCursor& cursor, uint64_t end, uint64_t* length);

// Copies a field as it is. False for what the walk does not know: groups,
// truncation.
bool CopyField(SliceCursor& cursor, Tag tag, uint64_t end, std::string* out);

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_WIRE_WALK_H_
