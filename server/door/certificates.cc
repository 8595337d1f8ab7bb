#include "server/door/certificates.h"

#include <utility>

#include "server/observability/log.h"

namespace lossd::door {
namespace {

constexpr absl::Duration kWarnBeforeEnd = absl::Hours(7 * 24);
constexpr absl::Duration kBetweenWarnings = absl::Hours(24);

observability::LogFields About(const std::string& path, absl::Time end) {
  return {
      {"file", path},
      {"end", absl::FormatTime(absl::RFC3339_sec, end, absl::UTCTimeZone())}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Certificates>> Certificates::Load(
    const TlsFiles& files, const Clock* clock) {
  absl::StatusOr<KeyPair> pair = ReadKeyPair(files, clock->Now());
  if (!pair.ok()) return pair.status();
  std::optional<Authorities> authorities;
  if (!files.client_authorities.empty()) {
    auto read = ReadAuthorities(files, clock->Now());
    if (!read.ok()) return read.status();
    authorities = *std::move(read);
  }
  return std::unique_ptr<Certificates>(
      new Certificates(files, clock, *std::move(pair), std::move(authorities)));
}

Certificates::Certificates(const TlsFiles& files, const Clock* clock,
                           KeyPair pair, std::optional<Authorities> authorities)
    : files_(files),
      clock_(clock),
      current_{std::move(pair), std::move(authorities), /*version=*/1} {}

Certificates::Material Certificates::Current() const {
  absl::MutexLock lock(&mu_);
  return current_;
}

absl::Time Certificates::end() const {
  absl::MutexLock lock(&mu_);
  return current_.pair.end;
}

void Certificates::Reread(bool say_all) {
  absl::MutexLock lock(&reading_);
  RereadPair(say_all);
  if (!files_.client_authorities.empty()) RereadAuthorities(say_all);
}

namespace {

// Says that what was read is not used.
void SayRefusal(const absl::Status& why, bool say_all, std::string& last) {
  const std::string reason(why.message());
  if (reason == last && !say_all) return;
  observability::LogWarning("the certificate in use stays",
                            {{"reason", reason}});
  last = reason;
}

}  // namespace

void Certificates::RereadPair(bool say_all) {
  absl::StatusOr<KeyPair> read = ReadKeyPair(files_, clock_->Now());
  if (!read.ok()) {
    SayRefusal(read.status(), say_all, pair_said_.refusal);
    return WarnOfEnd(files_.certificate, end(), pair_said_);
  }
  pair_said_.refusal.clear();
  const absl::Time end = read->end;
  const bool fresh = [&] {
    absl::MutexLock lock(&mu_);
    if (current_.pair == *read) return false;
    current_.pair = *std::move(read);
    ++current_.version;
    return true;
  }();
  if (fresh) pair_said_.next_warning = absl::InfinitePast();
  if (fresh || say_all) {
    observability::LogInfo(
        fresh ? "a new certificate is in use" : "the certificate is unchanged",
        About(files_.certificate, end));
  }
  WarnOfEnd(files_.certificate, end, pair_said_);
}

void Certificates::RereadAuthorities(bool say_all) {
  absl::StatusOr<Authorities> read = ReadAuthorities(files_, clock_->Now());
  if (!read.ok()) {
    return SayRefusal(read.status(), say_all, authorities_said_.refusal);
  }
  authorities_said_.refusal.clear();
  const absl::Time end = read->end;
  const bool fresh = [&] {
    absl::MutexLock lock(&mu_);
    if (current_.authorities == *read) return false;
    current_.authorities = *std::move(read);
    ++current_.version;
    return true;
  }();
  if (fresh) authorities_said_.next_warning = absl::InfinitePast();
  if (fresh || say_all) {
    observability::LogInfo(fresh ? "new client authorities are in use"
                                 : "the client authorities are unchanged",
                           About(files_.client_authorities, end));
  }
  WarnOfEnd(files_.client_authorities, end, authorities_said_);
}

void Certificates::WarnOfEnd(const std::string& path, absl::Time end,
                             Said& said) {
  const absl::Time now = clock_->Now();
  if (end - now > kWarnBeforeEnd || now < said.next_warning) return;
  said.next_warning = now + kBetweenWarnings;
  observability::LogWarning(now > end ? "a certificate in use has ended"
                                      : "a certificate in use ends soon",
                            About(path, end));
}

}  // namespace lossd::door
