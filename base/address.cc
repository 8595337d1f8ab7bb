#include "base/address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lossd {
namespace {

bool IsBracketed(absl::string_view host) {
  return host.size() > 2 && host.front() == '[' && host.back() == ']';
}

}  // namespace

std::string Address::text() const { return absl::StrCat(host, ":", port); }

absl::string_view Address::bare_host() const {
  const absl::string_view whole = host;
  return IsBracketed(whole) ? whole.substr(1, whole.size() - 2) : whole;
}

std::optional<Address> ParseAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return std::nullopt;
  const absl::string_view host = text.substr(0, colon);
  const absl::string_view digits = text.substr(colon + 1);
  if (host.find_first_of(", \t") != host.npos) return std::nullopt;
  if (!IsBracketed(host) && host.find_first_of(":[]") != host.npos) {
    return std::nullopt;
  }
  if (digits.find_first_not_of("0123456789") != digits.npos) {
    return std::nullopt;
  }
  Address address{.host = std::string(host)};
  if (!absl::SimpleAtoi(digits, &address.port) || address.port > 65535) {
    return std::nullopt;
  }
  return address;
}

}  // namespace lossd
