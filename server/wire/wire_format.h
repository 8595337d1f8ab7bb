// The parts that protobuf's wire format is made of.
#ifndef LOSSD_SERVER_WIRE_WIRE_FORMAT_H_
#define LOSSD_SERVER_WIRE_WIRE_FORMAT_H_

#include <cstdint>
#include <string>

namespace lossd::wire {

// The wire types. Writers of proto3 use no groups.
enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5
};

// The beginning of a field.
struct Tag {
  uint32_t number = 0;  // from 1 to 2^29 - 1; 0 is no field
  uint32_t type = 0;    // a WireType, or a number that the reader refuses
};

inline void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline void AppendTag(Tag tag, std::string* out) {
  AppendVarint(uint64_t{tag.number} << 3 | tag.type, out);
}

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_WIRE_FORMAT_H_
