// Text in UTF-8.
#ifndef LOSSD_SERVER_BASE_UTF8_H_
#define LOSSD_SERVER_BASE_UTF8_H_

namespace lossd {

// Returns whether a text may be cut before this byte of it.
constexpr bool BeginsCharacter(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_UTF8_H_
