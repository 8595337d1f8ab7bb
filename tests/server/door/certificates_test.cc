#include "server/door/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "server/observability/log.h"
#include "tests/base/identity.h"
#include "tests/server/fake_clock.h"
#include "tests/temporary_path.h"

namespace lossd::door {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr absl::Duration kDay = absl::Hours(24);

Identity ValidFor(absl::Duration time) {
  return Identity(EVP_EC_gen("P-256"), kNow - absl::Hours(1), kNow + time);
}

// Files that are replaced one after the other, and the lines that the log gets.
class Renewal : public testing::Test {
 protected:
  Renewal() {
    EXPECT_TRUE(
        observability::StartLog("info", observability::LogFormat::kText).ok());
    Write(files_.certificate, first_.certificate);
    Write(files_.key, first_.key);
  }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }

  void Load() {
    auto loaded = Certificates::Load(files_, &clock_);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    certificates_ = *std::move(loaded);
  }

  // Returns the lines of one reading.
  std::string Reread(bool say_all = false) {
    testing::internal::CaptureStderr();
    certificates_->Reread(say_all);
    return testing::internal::GetCapturedStderr();
  }

  // Returns the certificate that clients would see.
  std::string Shown() const {
    return certificates_->Current().pair.certificates;
  }

  FakeClock clock_{kNow};
  const TemporaryPath cert_path_{"cert"};
  const TemporaryPath key_path_{"key"};
  const TemporaryPath ca_path_{"ca"};
  TlsFiles files_{cert_path_.string(), key_path_.string(), ""};
  const Identity first_ = ValidFor(30 * kDay);
  const Identity second_ = ValidFor(60 * kDay);
  std::unique_ptr<Certificates> certificates_;
};

TEST_F(Renewal, TakesOnlyAPairThatBelongsTogether) {
  Load();
  const int64_t version = certificates_->Current().version;
  Write(files_.certificate, second_.certificate);
  EXPECT_THAT(Reread(),
              AllOf(HasSubstr(" warning the certificate in use stays reason="),
                    HasSubstr("the certificate belongs to another key")));
  EXPECT_EQ(Shown(), first_.certificate);
  EXPECT_EQ(certificates_->Current().version, version);
  EXPECT_EQ(Reread(), "");  // it was said

  Write(files_.key, second_.key);
  EXPECT_THAT(Reread(), HasSubstr(" info a new certificate is in use file="));
  EXPECT_EQ(Shown(), second_.certificate);
  EXPECT_GT(certificates_->Current().version, version);
  EXPECT_EQ(certificates_->end(), kNow + 60 * kDay);
  EXPECT_EQ(Reread(), "");
}

TEST_F(Renewal, LeavesAsideWhatIsUnreadableOrNoPem) {
  Load();
  Write(files_.key, "words");
  EXPECT_THAT(Reread(), HasSubstr("has no private key in PEM"));
  Write(files_.certificate, second_.certificate.substr(0, 200));
  EXPECT_THAT(Reread(), HasSubstr("has a certificate that cannot be read"));
  std::remove(files_.certificate.c_str());
  EXPECT_THAT(Reread(), HasSubstr("must be a file that can be read"));
  EXPECT_EQ(Shown(), first_.certificate);
  // The old files are back.
  Write(files_.certificate, first_.certificate);
  Write(files_.key, first_.key);
  EXPECT_EQ(Reread(), "");
}

TEST_F(Renewal, LeavesAsideWhatIsNotValidNow) {
  Load();
  const Identity past(EVP_EC_gen("P-256"), kNow - 2 * kDay, kNow - kDay);
  Write(files_.certificate, past.certificate);
  Write(files_.key, past.key);
  EXPECT_THAT(Reread(),
              HasSubstr("the certificate ended at 2023-11-13T22:13:20+00:00"));
  const Identity future(EVP_EC_gen("P-256"), kNow + kDay, kNow + 20 * kDay);
  Write(files_.certificate, future.certificate);
  Write(files_.key, future.key);
  EXPECT_THAT(Reread(), HasSubstr("the certificate begins only at 2023-11-15"));
  EXPECT_EQ(Shown(), first_.certificate);
  clock_.Advance(kDay);
  EXPECT_THAT(Reread(), HasSubstr("a new certificate is in use"));
  EXPECT_EQ(Shown(), future.certificate);
}

TEST_F(Renewal, SaysAllWhenAsked) {
  Load();
  EXPECT_THAT(Reread(/*say_all=*/true),
              HasSubstr(" info the certificate is unchanged file="));
  Write(files_.key, "words");
  EXPECT_NE(Reread(/*say_all=*/true), "");
  EXPECT_NE(Reread(/*say_all=*/true), "");
}

TEST_F(Renewal, WarnsOnceADayInTheLastWeek) {
  Load();
  clock_.Advance(23 * kDay - absl::Seconds(1));
  EXPECT_EQ(Reread(), "");
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Reread(),
              AllOf(HasSubstr(" warning a certificate in use ends soon file="),
                    HasSubstr("end=\"2023-12-14T22:13:20+00:00\"")));
  clock_.Advance(kDay - absl::Seconds(1));
  EXPECT_EQ(Reread(), "");
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Reread(), HasSubstr("ends soon"));
  clock_.Advance(6 * kDay + absl::Seconds(1));
  EXPECT_THAT(Reread(), HasSubstr("a certificate in use has ended"));
  EXPECT_EQ(Shown(), first_.certificate);
}

TEST_F(Renewal, RenewsAuthoritiesByThemselves) {
  files_.client_authorities = ca_path_.string();
  Write(files_.client_authorities, first_.certificate);
  Load();
  Write(files_.client_authorities, "words");
  EXPECT_THAT(Reread(), HasSubstr("--tls_client_ca="));
  EXPECT_EQ(Reread(), "");
  EXPECT_EQ(certificates_->Current().authorities->certificates,
            first_.certificate);
  Write(files_.client_authorities, second_.certificate);
  EXPECT_THAT(Reread(), HasSubstr("new client authorities are in use"));
  EXPECT_EQ(certificates_->Current().authorities->certificates,
            second_.certificate);
  EXPECT_EQ(Shown(), first_.certificate);
}

// Bundles keep authorities that have ended for a while.
TEST_F(Renewal, TakesAuthoritiesOfWhichOneIsValid) {
  const Identity past(EVP_EC_gen("P-256"), kNow - 2 * kDay, kNow - kDay);
  files_.client_authorities = ca_path_.string();
  Write(files_.client_authorities, past.certificate + first_.certificate);
  Load();
  Write(files_.client_authorities, past.certificate);
  EXPECT_THAT(Reread(), HasSubstr("the certificate ended at"));
}

TEST_F(Renewal, RefusesAtTheStartWhatNoClientCouldUse) {
  clock_.Advance(31 * kDay);
  const auto loaded = Certificates::Load(files_, &clock_);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(loaded.status().message()),
              AllOf(HasSubstr("--tls_cert="), HasSubstr("ended at")));
}

}  // namespace
}  // namespace lossd::door
