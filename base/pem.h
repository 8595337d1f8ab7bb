// Checks of certificates and keys in PEM. They come before gRPC, which accepts
// any content; then no handshake succeeds, and no message says why.
#ifndef LOSSD_BASE_PEM_H_
#define LOSSD_BASE_PEM_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lossd::pem {

// Each returns OK, or INVALID_ARGUMENT with a message that follows the name of
// the file: "has no certificate in PEM". They do not look at a certificate's
// content, such as its end date. Thread-safe.

// Checks that there is at least one certificate, and that each can be read.
// Text between certificates is skipped, as TLS libraries do.
absl::Status CheckCertificates(absl::string_view certificates);

// Checks that there is a private key that can be read without a passphrase.
absl::Status CheckKey(absl::string_view key);

// Checks, for texts that pass the two checks above, that TLS accepts the first
// certificate for this end of a connection, and that the key belongs to it.
absl::Status CheckPair(absl::string_view certificates, absl::string_view key);

// The time for which a certificate is valid, both ends included.
struct Validity {
  absl::Time begin;
  absl::Time end;
};

// Returns the times of all certificates in a text that passes
// CheckCertificates(), in their order. Thread-safe.
std::vector<Validity> Validities(absl::string_view certificates);

}  // namespace lossd::pem

#endif  // LOSSD_BASE_PEM_H_
