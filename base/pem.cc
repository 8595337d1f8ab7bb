#include "base/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <ctime>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lossd::pem {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// Returns a reader of the text, which is not copied. OpenSSL needs an address
// even for an empty text.
Owned<BIO> Reader(absl::string_view text) {
  return Owned<BIO>(BIO_new_mem_buf(text.empty() ? "" : text.data(),
                                    static_cast<int>(text.size())));
}

// Refuses to give a passphrase. OpenSSL's own function would ask for one at the
// terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*for_writing*/,
                 void* /*user_data*/) {
  return -1;
}

Owned<X509> NextCertificate(BIO* bio) {
  ERR_clear_error();
  return Owned<X509>(
      PEM_read_bio_X509_AUX(bio, nullptr, &NoPassphrase, nullptr));
}

Owned<EVP_PKEY> FirstKey(absl::string_view text) {
  ERR_clear_error();
  return Owned<EVP_PKEY>(PEM_read_bio_PrivateKey(Reader(text).get(), nullptr,
                                                 &NoPassphrase, nullptr));
}

// Returns true if OpenSSL's newest error is that nothing more begins in the
// text.
bool NothingBegins() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM &&
         ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// Returns an error with OpenSSL's oldest one, which is the cause of the others.
absl::Status Fault(absl::string_view what) {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", reason == nullptr ? "no reason given" : reason));
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm fields = {};
  ASN1_TIME_to_tm(time, &fields);
  return absl::FromTM(fields, absl::UTCTimeZone());
}

}  // namespace

absl::Status CheckCertificates(absl::string_view certificates) {
  const Owned<BIO> bio = Reader(certificates);
  int count = 0;
  while (NextCertificate(bio.get()) != nullptr) ++count;
  if (!NothingBegins()) {
    return Fault(absl::StrCat("has a certificate that cannot be read, number ",
                              count + 1));
  }
  ERR_clear_error();
  if (count > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("has no certificate in PEM");
}

absl::Status CheckKey(absl::string_view key) {
  if (FirstKey(key) != nullptr) return absl::OkStatus();
  if (!absl::StrContains(key, "PRIVATE KEY-----")) {
    ERR_clear_error();
    return absl::InvalidArgumentError("has no private key in PEM");
  }
  return Fault(absl::StrContains(key, "ENCRYPTED")
                   ? "has a private key that needs a passphrase"
                   : "has a private key that cannot be read");
}

absl::Status CheckPair(absl::string_view certificates, absl::string_view key) {
  const Owned<X509> first = NextCertificate(Reader(certificates).get());
  const Owned<EVP_PKEY> private_key = FirstKey(key);
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  // The system may ask for more than can be read, such as long keys.
  if (context == nullptr || first == nullptr || private_key == nullptr ||
      SSL_CTX_use_certificate(context.get(), first.get()) != 1) {
    return Fault("TLS does not accept the certificate");
  }
  if (X509_check_private_key(first.get(), private_key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate belongs to another key");
  }
  return absl::OkStatus();
}

std::vector<Validity> Validities(absl::string_view certificates) {
  const Owned<BIO> bio = Reader(certificates);
  std::vector<Validity> all;
  while (const Owned<X509> next = NextCertificate(bio.get())) {
    all.push_back({ToTime(X509_get0_notBefore(next.get())),
                   ToTime(X509_get0_notAfter(next.get()))});
  }
  ERR_clear_error();
  return all;
}

}  // namespace lossd::pem
