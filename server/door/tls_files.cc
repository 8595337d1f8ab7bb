#include "server/door/tls_files.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/pem.h"
#include "server/base/status_macros.h"

namespace lossd::door {
namespace {

using Check = absl::Status (*)(absl::string_view text);

absl::Status Wrong(absl::string_view flag, absl::string_view path,
                   absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", path, ": ", why));
}

absl::StatusOr<std::string> ReadPem(absl::string_view flag,
                                    const std::string& path, Check check) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return Wrong(flag, path, "must be a file that can be read");
  const absl::Status checked = check(*text);
  if (!checked.ok()) return Wrong(flag, path, checked.message());
  return text;
}

// Returns why the certificate is not valid now, or an empty string if it is.
std::string NotValid(const pem::Validity& validity, absl::Time now) {
  const auto text = [](absl::Time time) {
    return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
  };
  if (now > validity.end) {
    return absl::StrCat("the certificate ended at ", text(validity.end));
  }
  if (now < validity.begin) {
    return absl::StrCat("the certificate begins only at ",
                        text(validity.begin));
  }
  return "";
}

}  // namespace

absl::StatusOr<KeyPair> ReadKeyPair(const TlsFiles& files, absl::Time now) {
  absl::StatusOr<std::string> certificates =
      ReadPem("tls_cert", files.certificate, &pem::CheckCertificates);
  if (!certificates.ok()) return certificates.status();
  absl::StatusOr<std::string> key =
      ReadPem("tls_key", files.key, &pem::CheckKey);
  if (!key.ok()) return key.status();
  const absl::Status pair = pem::CheckPair(*certificates, *key);
  if (!pair.ok()) {
    return Wrong("tls_cert",
                 absl::StrCat(files.certificate, " --tls_key=", files.key),
                 pair.message());
  }
  const pem::Validity validity = pem::Validities(*certificates).front();
  const std::string why = NotValid(validity, now);
  if (!why.empty()) return Wrong("tls_cert", files.certificate, why);
  return KeyPair{*std::move(certificates), *std::move(key), validity.end};
}

absl::StatusOr<Authorities> ReadAuthorities(const TlsFiles& files,
                                            absl::Time now) {
  const std::string& path = files.client_authorities;
  absl::StatusOr<std::string> certificates =
      ReadPem("tls_client_ca", path, &pem::CheckCertificates);
  if (!certificates.ok()) return certificates.status();
  std::string why;
  absl::Time end = absl::InfinitePast();
  bool usable = false;
  for (const pem::Validity& validity : pem::Validities(*certificates)) {
    const std::string fault = NotValid(validity, now);
    if (why.empty()) why = fault;
    usable |= fault.empty();
    end = std::max(end, validity.end);
  }
  if (!usable) return Wrong("tls_client_ca", path, why);
  return Authorities{*std::move(certificates), end};
}

}  // namespace lossd::door
