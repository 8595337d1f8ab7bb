// Reads protobuf's wire format from bytes in one piece.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_WIRE_CURSOR_H_
#define LOSSD_CLIENT_CPP_MESSAGE_WIRE_CURSOR_H_

#include <cstdint>
#include <cstring>
#include <span>

namespace lossd::client {

// Reads forward. A read returns false where the bytes end too early or are no
// such value; the cursor is then of no more use. Borrows the bytes.
class WireCursor {
 public:
  enum Type : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

  explicit WireCursor(std::span<const uint8_t> bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool AtEnd() const { return at_ == end_; }
  const uint8_t* at() const { return at_; }

  bool ReadVarint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
      const uint64_t byte = *at_++;
      *value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  // Reads a field's number and wire type.
  bool ReadTag(uint32_t* number, uint32_t* type) {
    uint64_t tag;
    if (!ReadVarint(&tag) || tag > UINT32_MAX || tag < 8) return false;
    *number = static_cast<uint32_t>(tag) >> 3;
    *type = static_cast<uint32_t>(tag) & 7;
    return true;
  }

  bool ReadDouble(double* value) {
    if (end_ - at_ < 8) return false;
    std::memcpy(value, at_, 8);
    at_ += 8;
    return true;
  }

  // Skips the value of a field of type kFixed32 or kFixed64. Returns false for
  // other types too.
  bool SkipFixed(uint32_t type) {
    const int size = type == kFixed32 ? 4 : type == kFixed64 ? 8 : 0;
    if (size == 0 || end_ - at_ < size) return false;
    at_ += size;
    return true;
  }

  // Reads the bytes of a length-delimited field.
  bool ReadBytes(std::span<const uint8_t>* bytes) {
    uint64_t length;
    if (!ReadVarint(&length) || length > static_cast<uint64_t>(end_ - at_)) {
      return false;
    }
    *bytes = {at_, static_cast<size_t>(length)};
    at_ += length;
    return true;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_WIRE_CURSOR_H_
