#include "base/pem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <string>

#include "tests/base/identity.h"

namespace lossd::pem {
namespace {

using testing::HasSubstr;

const Identity& Ours() {
  static const Identity ours(EVP_EC_gen("P-256"));
  return ours;
}

const Identity& Theirs() {
  static const Identity theirs(EVP_EC_gen("P-256"));
  return theirs;
}

// Returns the PEM text with another character in the middle of its content.
std::string Damaged(std::string text) {
  char& middle = text[text.size() / 2];
  middle = '*';
  return text;
}

std::string Complaint(const absl::Status& status) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

TEST(Pem, CertificatesAndAKeyThatCanBeReadAreAccepted) {
  EXPECT_TRUE(CheckCertificates(Ours().certificate).ok());
  EXPECT_TRUE(CheckCertificates("between certificates\n" + Ours().certificate +
                                "anything\n" + Theirs().certificate)
                  .ok());
  EXPECT_TRUE(CheckKey(Ours().key).ok());
  EXPECT_TRUE(CheckPair(Ours().certificate, Ours().key).ok());
}

TEST(Pem, AKeyOfTheFirstCertificateOfAChainIsAccepted) {
  const std::string chain = Ours().certificate + Theirs().certificate;
  EXPECT_TRUE(CheckPair(chain, Ours().key).ok());
  EXPECT_THAT(Complaint(CheckPair(chain, Theirs().key)),
              HasSubstr("another key"));
}

TEST(Pem, TextWithoutACertificateIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("root:x:0:0\n"), Ours().key}) {
    EXPECT_THAT(Complaint(CheckCertificates(text)),
                HasSubstr("has no certificate in PEM"))
        << text;
  }
  EXPECT_FALSE(CheckCertificates({}).ok());
}

TEST(Pem, TextWithoutAKeyIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("root:x:0:0\n"), Ours().certificate}) {
    EXPECT_THAT(Complaint(CheckKey(text)),
                HasSubstr("has no private key in PEM"))
        << text;
  }
}

TEST(Pem, ADamagedCertificateIsCounted) {
  EXPECT_THAT(Complaint(CheckCertificates(Damaged(Ours().certificate))),
              HasSubstr("has a certificate that cannot be read, number 1: "));
  EXPECT_THAT(Complaint(CheckCertificates(Ours().certificate +
                                          Damaged(Theirs().certificate))),
              HasSubstr("has a certificate that cannot be read, number 2: "));
}

TEST(Pem, ACertificateThatIsCutOffIsRefused) {
  const std::string& whole = Ours().certificate;
  EXPECT_THAT(Complaint(CheckCertificates(whole.substr(0, whole.size() / 2))),
              HasSubstr("has a certificate that cannot be read, number 1: "));
}

TEST(Pem, ADamagedKeyIsRefused) {
  EXPECT_THAT(Complaint(CheckKey(Damaged(Ours().key))),
              HasSubstr("has a private key that cannot be read: "));
}

// Without our function OpenSSL would ask at the terminal.
TEST(Pem, AKeyThatNeedsAPassphraseIsRefusedWithoutAsking) {
  EXPECT_THAT(Complaint(CheckKey(Ours().locked_key)),
              HasSubstr("has a private key that needs a passphrase: "));
}

TEST(Pem, ACertificateOfAnotherKeyIsRefused) {
  EXPECT_THAT(Complaint(CheckPair(Ours().certificate, Theirs().key)),
              HasSubstr("the certificate belongs to another key"));
}

TEST(Pem, ACertificateThatTlsDoesNotAcceptIsRefused) {
  const Identity weak(EVP_RSA_gen(512));  // too short at any level of security
  EXPECT_TRUE(CheckCertificates(weak.certificate).ok());
  EXPECT_THAT(Complaint(CheckPair(weak.certificate, weak.key)),
              HasSubstr("TLS does not accept the certificate: "));
}

TEST(Pem, ValiditiesAreThoseOfAllCertificatesInTheirOrder) {
  const absl::Time begin = absl::FromUnixSeconds(1'700'000'000);
  const Identity first(EVP_EC_gen("P-256"), begin, begin + absl::Hours(1));
  const Identity second(EVP_EC_gen("P-256"), begin, begin + absl::Hours(9000));
  const auto all = Validities(first.certificate + second.certificate);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].begin, begin);
  EXPECT_EQ(all[0].end, begin + absl::Hours(1));
  EXPECT_EQ(all[1].end, begin + absl::Hours(9000));
}

}  // namespace
}  // namespace lossd::pem
