#include "server/door/authenticator.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/observability/log.h"

namespace lossd::door {
namespace {

bool Equal(const TokenDigest& a, const TokenDigest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool Same(const std::vector<Token>& some, const std::vector<Token>& others) {
  return std::ranges::equal(some, others, [](const Token& a, const Token& b) {
    return Equal(a.digest, b.digest) && a.permissions == b.permissions;
  });
}

// Returns the token of "Bearer TOKEN", or nothing.
std::optional<absl::string_view> BearerOf(absl::string_view authorization) {
  constexpr absl::string_view kBearer = "Bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kBearer)) return std::nullopt;
  return authorization.substr(kBearer.size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::Load(
    const std::string& path) {
  if (path.empty()) return std::make_unique<Authenticator>();
  absl::StatusOr<std::vector<Token>> tokens = ReadTokenFile(path);
  if (!tokens.ok()) return tokens.status();
  return std::make_unique<Authenticator>(path, *std::move(tokens));
}

void Authenticator::Reread(bool at_once) {
  absl::MutexLock reading(&reading_);
  absl::StatusOr<std::vector<Token>> read = ReadTokenFile(path_);
  file_is_good_ = read.ok();
  if (!read.ok()) {
    const std::string reason(read.status().message());
    if (reason == refusal_ && !at_once) return;
    observability::LogWarning("the tokens in use stay", {{"reason", reason}});
    refusal_ = reason;
    return;
  }
  refusal_.clear();
  const bool settled = at_once || Same(*read, last_read_);
  last_read_ = *read;
  const auto count = static_cast<int64_t>(read->size());
  const bool fresh = [&] {
    absl::MutexLock lock(&mu_);
    if (!settled || Same(*read, tokens_)) return false;
    tokens_ = *std::move(read);
    ++generation_;
    return true;
  }();
  if (!fresh && !at_once) return;
  observability::LogInfo(
      fresh ? "the tokens of the file are in use" : "the tokens are unchanged",
      {{"file", path_}, {"count", count}});
}

Permissions Authenticator::Granted(absl::string_view token) const {
  const TokenDigest digest = DigestOf(token);
  Permissions granted;
  absl::ReaderMutexLock lock(&mu_);
  for (const Token& known : tokens_) {
    if (Equal(digest, known.digest)) granted.Add(known.permissions);
  }
  return granted;
}

absl::Status Authenticator::Refuse(absl::string_view why) const {
  ++refused_;
  return absl::UnauthenticatedError(absl::StrCat("authorization: ", why));
}

absl::StatusOr<Permissions> Authenticator::PermissionsOf(
    std::optional<absl::string_view> authorization) const {
  if (is_open()) return Permissions::All();
  if (!authorization.has_value()) return Refuse("no bearer token was sent");
  const std::optional<absl::string_view> token = BearerOf(*authorization);
  const Permissions granted = token ? Granted(*token) : Permissions();
  if (granted == Permissions()) return Refuse("not a known bearer token");
  return granted;
}

absl::StatusOr<Permissions> Authenticator::PermissionsOf(
    const grpc::ServerContextBase& context) const {
  if (is_open()) return Permissions::All();
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) return PermissionsOf(std::nullopt);
  return PermissionsOf(
      absl::string_view(found->second.data(), found->second.size()));
}

absl::Status Require(Permission needed, Permissions granted) {
  if (granted.Has(needed)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("authorization: the token may not use ", NameOf(needed)));
}

}  // namespace lossd::door
