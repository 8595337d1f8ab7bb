// TCP addresses as users write them.
#ifndef LOSSD_BASE_ADDRESS_H_
#define LOSSD_BASE_ADDRESS_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lossd {

// An address HOST:PORT.
struct Address {
  // As written: an IPv6 address keeps its brackets.
  std::string host;
  // In [0, 65535]; 0 lets the kernel choose.
  int port = 0;

  // Returns HOST:PORT.
  std::string text() const;
  // Returns the host as the resolver takes it: without brackets.
  absl::string_view bare_host() const;
};

// Reads HOST:PORT, such as 127.0.0.1:9464 or [::1]:0. Returns nothing if the
// text is something else; an IPv6 address without brackets is.
std::optional<Address> ParseAddress(absl::string_view text);

}  // namespace lossd

#endif  // LOSSD_BASE_ADDRESS_H_
