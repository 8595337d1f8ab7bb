// Certificates and keys in PEM, judged before gRPC gets them: it takes whatever
// it is given, and then no handshake succeeds and nobody is told why.
#ifndef LOSSD_BASE_PEM_H_
#define LOSSD_BASE_PEM_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lossd::pem {

// Each answers OK, or INVALID_ARGUMENT with what is wrong, to stand behind the
// name of the file: "has no certificate in PEM". What a certificate says,
// such as until when it holds, is not looked at: that is for the peer to judge.

// At least one certificate, and each can be read. What stands between them is
// passed over, as TLS libraries do.
absl::Status CheckCertificates(absl::string_view certificates);

// A private key that can be read without a passphrase.
absl::Status CheckKey(absl::string_view key);

// Of texts that pass the above: TLS accepts the first of the certificates for
// this end of a connection, and the key is that certificate's.
absl::Status CheckPair(absl::string_view certificates, absl::string_view key);

}  // namespace lossd::pem

#endif  // LOSSD_BASE_PEM_H_
