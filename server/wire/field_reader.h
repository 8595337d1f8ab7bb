// Reads the fields of a message in every form that protobuf accepts.
#ifndef LOSSD_SERVER_WIRE_FIELD_READER_H_
#define LOSSD_SERVER_WIRE_FIELD_READER_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "server/wire/wire_format.h"

namespace lossd::wire {

// One field of a message.
struct Field {
  Tag tag;
  uint64_t varint = 0;      // of a kVarint
  absl::string_view bytes;  // of a kLength
};

// Accepts what the generated parser of a message without fields accepts:
// varints longer than they must be, and groups. That parser keeps a few dozen
// bytes of every field, however many there are, and this one none. It reads
// bytes that lie together; WireReader reads slices, and the usual form alone.
// Not thread-safe.
class FieldReader {
 public:
  // Borrows the bytes.
  explicit FieldReader(absl::string_view bytes) : left_(bytes) {}

  // Returns the next field, or nothing at the end or at bytes that are none.
  // Groups are skipped, whatever is in them.
  std::optional<Field> Next();

  // Returns whether all that was read are fields.
  bool ok() const { return ok_; }

 private:
  // These take bytes from the front, and return false if others come next.
  bool ReadByte(uint8_t* byte);
  bool ReadVarint(uint64_t* value);
  bool ReadTag(Tag* tag);
  bool ReadBytes(absl::string_view* bytes);
  bool ReadValue(Field* field);
  // Takes a group whose first tag was read.
  bool SkipGroup(uint32_t number);
  bool Skip(uint64_t count);

  absl::string_view left_;
  bool ok_ = true;
};

// Returns whether the bytes are a message of any kind.
bool IsMessage(absl::string_view bytes);

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_FIELD_READER_H_
