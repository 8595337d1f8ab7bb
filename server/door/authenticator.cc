#include "server/door/authenticator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace lossd::door {
namespace {

// Looks at every byte of `b`, wherever the two differ.
bool EqualInConstantTime(absl::string_view a, absl::string_view b) {
  size_t difference = a.size() ^ b.size();
  for (size_t i = 0; i < b.size(); ++i) {
    const char left = i < a.size() ? a[i] : '\0';
    difference |= static_cast<unsigned char>(left ^ b[i]);
  }
  return difference == 0;
}

}  // namespace

void Authenticator::Replace(std::vector<std::string> tokens) {
  absl::MutexLock lock(&mu_);
  tokens_ = std::move(tokens);
}

bool Authenticator::Accepts(absl::string_view token) const {
  bool accepted = false;
  absl::ReaderMutexLock lock(&mu_);
  for (const std::string& known : tokens_) {
    accepted |= EqualInConstantTime(token, known);
  }
  return accepted;
}

absl::Status Authenticator::Check(const grpc::ServerContext& context) const {
  if (is_open_) return absl::OkStatus();
  constexpr absl::string_view kBearer = "Bearer ";
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) {
    return absl::UnauthenticatedError(
        "authorization: no bearer token was sent");
  }
  const absl::string_view value(found->second.data(), found->second.size());
  if (!absl::StartsWithIgnoreCase(value, kBearer) ||
      !Accepts(value.substr(kBearer.size()))) {
    return absl::UnauthenticatedError(
        "authorization: not a known bearer token");
  }
  return absl::OkStatus();
}

std::vector<std::string> ReadTokens(absl::string_view text) {
  std::vector<std::string> tokens;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty() && line.front() != '#') tokens.emplace_back(line);
  }
  return tokens;
}

bool IsSendable(absl::string_view token) {
  return std::all_of(token.begin(), token.end(), &absl::ascii_isprint);
}

}  // namespace lossd::door
