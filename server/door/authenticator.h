// Checks bearer tokens.
#ifndef LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
#define LOSSD_SERVER_DOOR_AUTHENTICATOR_H_

#include <grpcpp/server_context.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lossd::door {

// Checks `authorization: Bearer TOKEN` against a list. An empty list lets every
// call in. Immutable, so thread-safe.
class Authenticator {
 public:
  explicit Authenticator(std::vector<std::string> tokens)
      : tokens_(std::move(tokens)) {}

  // Errors: UNAUTHENTICATED unless the client sent one of the tokens. The time
  // that this takes depends on the number of tokens and their lengths, not on
  // their bytes.
  absl::Status Check(const grpc::ServerContext& context) const;

  // Returns whether the token is on the list.
  bool Accepts(absl::string_view token) const;

 private:
  const std::vector<std::string> tokens_;
};

// Returns the tokens in a file's text: one a line, without surrounding blanks.
// Empty lines and lines that begin with # are ignored.
std::vector<std::string> ReadTokens(absl::string_view text);

// Returns whether a client can send the token: a gRPC header holds printable
// ASCII only.
bool IsSendable(absl::string_view token);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
