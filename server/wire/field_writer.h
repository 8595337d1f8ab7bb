// Protobuf's wire format, written by hand: for messages of a few fields that
// are written for every request.
#ifndef LOSSD_SERVER_WIRE_FIELD_WRITER_H_
#define LOSSD_SERVER_WIRE_FIELD_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/wire/wire_walk.h"

namespace lossd::wire {

// Appends fields to a string, which is borrowed. As in the generated code, a
// field of the default value is left out, unless it says otherwise.
class FieldWriter {  // D17
 public:
  explicit FieldWriter(std::string* out) : out_(out) {}

  // Integers, enums and bools; signed ones as their two's complement.
  void Varint(uint32_t number, uint64_t value);
  void Double(uint32_t number, double value);  // -0.0 is not the default
  void Bytes(uint32_t number, absl::string_view value);
  void PackedVarints(uint32_t number, std::span<const uint64_t> values);
  // A google.protobuf.Duration, also one of 0; a negative one is 0.
  void Duration(uint32_t number, absl::Duration value);

  // A message, also an empty one, whose fields `write` appends through this
  // writer. `more` bytes, which somebody else appends behind, belong to it too.
  template <typename Write>
  void Message(uint32_t number, size_t more, Write write) {
    AppendTag({number, kLength}, out_);
    const size_t start = OpenLength();
    write();
    CloseLength(start, more);
  }

 private:
  // The place of a length that is not known yet: one byte, which is what most
  // take.
  size_t OpenLength();
  void CloseLength(size_t start, size_t more);

  std::string* const out_;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_FIELD_WRITER_H_
