// The PEM files that TLS needs.
#ifndef LOSSD_SERVER_DOOR_TLS_FILES_H_
#define LOSSD_SERVER_DOOR_TLS_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lossd::door {

// Paths of PEM files. Without a certificate there is no TLS.
struct TlsFiles {
  std::string certificate;
  std::string key;
  // If this is set, clients must have a certificate of one of these
  // authorities.
  std::string client_authorities;
};

// A certificate with its chain, and the key that belongs to it.
struct KeyPair {
  std::string certificates;
  std::string key;
  absl::Time end;  // of the first certificate
  bool operator==(const KeyPair&) const = default;
};

// Certificates of authorities, at least one.
struct Authorities {
  std::string certificates;
  absl::Time end;  // of the last one to end
  bool operator==(const Authorities&) const = default;
};

// Both read the files and accept nothing that no client could use, because gRPC
// accepts any content and then fails at each handshake. Errors:
// INVALID_ARGUMENT with the flag, the path and the reason if a file cannot be
// read or is no PEM of its kind, if the key is not that of the certificate, or
// if `now` is outside the time for which the certificate, or each of the
// authorities, is valid. Thread-safe.
absl::StatusOr<KeyPair> ReadKeyPair(const TlsFiles& files, absl::Time now);
absl::StatusOr<Authorities> ReadAuthorities(const TlsFiles& files,
                                            absl::Time now);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_TLS_FILES_H_
