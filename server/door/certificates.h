// The certificates that the server shows, and their renewal while it runs.
#ifndef LOSSD_SERVER_DOOR_CERTIFICATES_H_
#define LOSSD_SERVER_DOOR_CERTIFICATES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/door/tls_files.h"

namespace lossd::door {

// Holds the newest certificate with its key, and the newest authorities, that
// were fit for use when they were read. Files are replaced one after the other,
// so what does not fit together is left aside, and the old one stays. The two
// are taken independently of each other. Thread-safe.
class Certificates {  // D55
 public:
  // Reads the files. Borrows `clock`. Errors: those of ReadKeyPair() and
  // ReadAuthorities(), because at the start there is nothing older.
  static absl::StatusOr<std::unique_ptr<Certificates>> Load(
      const TlsFiles& files, const Clock* clock);

  // Reads the files again. Writes a line about what is new, about a refusal
  // unless its line was the last one, and once a day about a certificate that
  // ends within seven days. With `say_all`, there is a line in any case.
  void Reread(bool say_all);

  struct Material {
    KeyPair pair;
    std::optional<Authorities> authorities;  // absent without mutual TLS
    int64_t version = 0;                     // grows with each change
  };
  Material Current() const;

  // Returns when the certificate that clients see ends.
  absl::Time end() const;

 private:
  // Keeps the log from saying the same again.
  struct Said {
    std::string refusal;
    absl::Time next_warning = absl::InfinitePast();
  };

  Certificates(const TlsFiles& files, const Clock* clock, KeyPair pair,
               std::optional<Authorities> authorities);
  void RereadPair(bool say_all) ABSL_EXCLUSIVE_LOCKS_REQUIRED(reading_);
  void RereadAuthorities(bool say_all) ABSL_EXCLUSIVE_LOCKS_REQUIRED(reading_);
  void WarnOfEnd(const std::string& path, absl::Time end, Said& said);

  const TlsFiles files_;
  const Clock* const clock_;
  // Held while files are read, and mu_ is taken under it.
  absl::Mutex reading_;
  Said pair_said_ ABSL_GUARDED_BY(reading_);
  Said authorities_said_ ABSL_GUARDED_BY(reading_);
  mutable absl::Mutex mu_;
  Material current_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_CERTIFICATES_H_
