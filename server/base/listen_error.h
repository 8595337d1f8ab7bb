// The error of an address at which the server cannot listen.
#ifndef LOSSD_SERVER_BASE_LISTEN_ERROR_H_
#define LOSSD_SERVER_BASE_LISTEN_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lossd {

// Returns UNAVAILABLE with the address, a HOST:PORT or a path, and the reason.
inline absl::Status CannotListen(absl::string_view address,
                                 absl::string_view why) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ": ", why));
}

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_LISTEN_ERROR_H_
