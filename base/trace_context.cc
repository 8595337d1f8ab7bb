#include "base/trace_context.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace lossd::tracing {
namespace {

// The fields of version 00: VERSION-TRACE_ID-SPAN_ID-FLAGS, in hexadecimal.
constexpr size_t kVersionAt = 0;
constexpr size_t kTraceIdAt = 3;
constexpr size_t kSpanIdAt = 36;
constexpr size_t kFlagsAt = 53;
constexpr size_t kLength = 55;

// Returns the value of a digit, or -1 for another character. W3C does not allow
// the upper case.
int ValueOf(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

// Reads two digits for each byte of `bytes` from `text` at `position`.
template <size_t kBytes>
bool ReadHex(absl::string_view text, size_t position,
             std::array<char, kBytes>* bytes) {
  for (char& byte : *bytes) {
    const int high = ValueOf(text[position++]);
    const int low = ValueOf(text[position++]);
    if (high < 0 || low < 0) return false;
    byte = static_cast<char>(high * 16 + low);
  }
  return true;
}

template <size_t kBytes>
bool IsZero(const std::array<char, kBytes>& bytes) {
  return std::ranges::all_of(bytes, [](char byte) { return byte == 0; });
}

// Returns whether the text has the length and the separators of its version.
bool HasForm(absl::string_view text, uint8_t version) {
  constexpr uint8_t kForbidden = 0xff;
  if (version == kForbidden) return false;
  if (text.size() != kLength && (version == 0 || text[kLength] != '-')) {
    return false;
  }
  return text[kTraceIdAt - 1] == '-' && text[kSpanIdAt - 1] == '-' &&
         text[kFlagsAt - 1] == '-';
}

}  // namespace

std::optional<TraceContext> ParseTraceparent(absl::string_view value) {
  if (value.size() < kLength) return std::nullopt;
  TraceContext context;
  std::array<char, 1> version{};
  std::array<char, 1> flags{};
  if (!ReadHex(value, kVersionAt, &version) ||
      !HasForm(value, static_cast<uint8_t>(version[0])) ||
      !ReadHex(value, kTraceIdAt, &context.trace_id) ||
      !ReadHex(value, kSpanIdAt, &context.span_id) ||
      !ReadHex(value, kFlagsAt, &flags)) {
    return std::nullopt;
  }
  if (IsZero(context.trace_id) || IsZero(context.span_id)) return std::nullopt;
  context.flags = static_cast<uint8_t>(flags[0]);
  return context;
}

bool MayBeSampled(absl::string_view value) {
  return value.size() >= kLength && (ValueOf(value[kLength - 1]) & 1) != 0;
}

bool IsTracestate(absl::string_view value) {
  return value.size() <= kMaxTracestateBytes &&
         std::ranges::all_of(
             value, [](unsigned char c) { return absl::ascii_isprint(c); });
}

std::string TextOf(const TraceId& id) {
  return absl::BytesToHexString(absl::string_view(id.data(), id.size()));
}

}  // namespace lossd::tracing
