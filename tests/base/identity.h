// Keys and certificates for tests.
#ifndef LOSSD_TESTS_BASE_IDENTITY_H_
#define LOSSD_TESTS_BASE_IDENTITY_H_

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lossd {

inline std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

// A key, and a certificate that it signed for itself.
struct Identity {
  // Takes over `pkey`. The times are in whole seconds.
  explicit Identity(EVP_PKEY* pkey, absl::Time begin = absl::Now(),
                    absl::Time end = absl::Now() + absl::Hours(1)) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, pkey, nullptr, nullptr, 0, nullptr, nullptr);
    key = TextOf(bio);
    bio = BIO_new(BIO_s_mem());
    unsigned char word[] = "open-sesame";
    PEM_write_bio_PrivateKey(bio, pkey, EVP_aes_128_cbc(), word, 11, nullptr,
                             nullptr);
    locked_key = TextOf(bio);
    X509* x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_TIME_set(X509_getm_notBefore(x509), absl::ToTimeT(begin));
    ASN1_TIME_set(X509_getm_notAfter(x509), absl::ToTimeT(end));
    X509_set_pubkey(x509, pkey);
    X509_sign(x509, pkey, EVP_sha256());
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x509);
    certificate = TextOf(bio);
    X509_free(x509);
    EVP_PKEY_free(pkey);
  }

  std::string key, locked_key, certificate;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_BASE_IDENTITY_H_
