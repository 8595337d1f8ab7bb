#include "server/door/token_file.h"

#include <openssl/sha.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace lossd::door {
namespace {

static_assert(sizeof(TokenDigest) == SHA256_DIGEST_LENGTH);

constexpr absl::string_view kAllow = "allow=";
constexpr Permission kPermissions[] = {
    Permission::kCompute, Permission::kSharedMemory, Permission::kAdmin};

// Returns whether a last word is NAME=..., which may be a mistyped allow=. The
// padding of base64 has nothing behind it.
bool LooksLikeAWord(absl::string_view word) {
  const size_t name_end = word.find('=');
  return name_end != 0 && name_end < word.size() - 1 &&
         word.substr(0, name_end)
                 .find_first_not_of("abcdefghijklmnopqrstuvwxyz_") ==
             absl::string_view::npos &&
         word[name_end + 1] != '=';
}

// Removes the last word of `line` if it says what the token may do, and returns
// that. A line of the word alone is a token: there would be none else.
absl::StatusOr<Permissions> TakePermissions(absl::string_view* line) {
  const size_t blank = line->find_last_of(" \t");
  if (blank == absl::string_view::npos) return Permissions::All();
  absl::string_view names = line->substr(blank + 1);
  if (!absl::ConsumePrefix(&names, kAllow)) {
    if (!LooksLikeAWord(names)) return Permissions::All();
    return absl::InvalidArgumentError(
        "after the token only allow= may stand, with names of compute, "
        "shared_memory and admin");
  }
  *line = absl::StripTrailingAsciiWhitespace(line->substr(0, blank));
  Permissions taken;
  for (const absl::string_view name : absl::StrSplit(names, ',')) {
    const auto* const known =
        std::find_if(std::begin(kPermissions), std::end(kPermissions),
                     [name](Permission each) { return NameOf(each) == name; });
    if (known == std::end(kPermissions)) {
      return absl::InvalidArgumentError(
          "allow= is followed by names of compute, shared_memory and admin, "
          "with commas between them");
    }
    taken.Add(*known);
  }
  return taken;
}

absl::StatusOr<Token> ParseLine(absl::string_view line) {
  const absl::StatusOr<Permissions> permissions = TakePermissions(&line);
  if (!permissions.ok()) return permissions.status();
  if (!std::all_of(line.begin(), line.end(), &absl::ascii_isprint)) {
    return absl::InvalidArgumentError(
        "the token is not printable ASCII: no client can send it");
  }
  return Token{DigestOf(line), *permissions};
}

}  // namespace

absl::string_view NameOf(Permission permission) {
  switch (permission) {
    case Permission::kCompute:
      return "compute";
    case Permission::kSharedMemory:
      return "shared_memory";
    case Permission::kAdmin:
      return "admin";
  }
  return "";
}

TokenDigest DigestOf(absl::string_view token) {
  TokenDigest digest;
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(),
         digest.data());
  return digest;
}

absl::StatusOr<std::vector<Token>> ParseTokens(absl::string_view text) {
  std::vector<Token> tokens;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    absl::StatusOr<Token> token = ParseLine(line);
    if (!token.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": ", token.status().message()));
    }
    tokens.push_back(*std::move(token));
  }
  if (tokens.empty()) {
    return absl::InvalidArgumentError("must have at least one token");
  }
  return tokens;
}

absl::StatusOr<std::vector<Token>> ReadTokenFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--token_file=", text.status().message()));
  }
  absl::StatusOr<std::vector<Token>> tokens = ParseTokens(*text);
  if (tokens.ok()) return tokens;
  return absl::InvalidArgumentError(
      absl::StrCat("--token_file=", path, ": ", tokens.status().message()));
}

}  // namespace lossd::door
