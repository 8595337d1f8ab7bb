// The file of bearer tokens: which there are, and what each may do.
#ifndef LOSSD_SERVER_DOOR_TOKEN_FILE_H_
#define LOSSD_SERVER_DOOR_TOKEN_FILE_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lossd::door {

// The things that a token may allow its client.
enum class Permission : unsigned {
  kCompute,       // ask for losses
  kSharedMemory,  // name regions of shared memory in requests
  kAdmin,         // reflection and channelz; metrics where they need a token
};

// Returns the name that a token file has for the permission.
absl::string_view NameOf(Permission permission);

// A set of permissions.
class Permissions {
 public:
  static Permissions All() { return Permissions(~0U); }
  Permissions() = default;

  bool operator==(const Permissions&) const = default;
  bool Has(Permission one) const { return (bits_ & BitOf(one)) != 0; }
  void Add(Permission one) { bits_ |= BitOf(one); }
  void Add(Permissions others) { bits_ |= others.bits_; }

 private:
  explicit Permissions(unsigned bits) : bits_(bits) {}
  static unsigned BitOf(Permission one) {
    return 1U << static_cast<unsigned>(one);
  }

  unsigned bits_ = 0;
};

// The SHA-256 of a token. Digests are compared in place of tokens, so that the
// time of a comparison tells nothing about a token, not even its length.
using TokenDigest = std::array<uint8_t, 32>;
TokenDigest DigestOf(absl::string_view token);

struct Token {
  TokenDigest digest;
  Permissions permissions;
};

// Returns the tokens in a file's text, one a line, without surrounding blanks.
// Empty lines and lines that begin with # are ignored. A token may do
// everything, unless the line's last word says what it may do:
//
//   pAQxYQ== allow=compute,shared_memory
//
// Errors: INVALID_ARGUMENT with the number of the line, never with its text,
// for a token that is not printable ASCII, and so cannot be sent, or for a
// permission that there is not; also for a text without a token, because an
// empty list would let everyone in.
absl::StatusOr<std::vector<Token>> ParseTokens(absl::string_view text);

// Returns the tokens of a file. Errors: those of ParseTokens() and of
// ReadFile(), after the name --token_file and the path.
absl::StatusOr<std::vector<Token>> ReadTokenFile(const std::string& path);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_TOKEN_FILE_H_
