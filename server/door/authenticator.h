// Bearer tokens.
#ifndef LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
#define LOSSD_SERVER_DOOR_AUTHENTICATOR_H_

#include <grpcpp/server_context.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lossd::door {

// Checks `authorization: Bearer TOKEN` against a list. Without tokens everyone
// may come in. Immutable, thread-safe.
class Authenticator {
 public:
  explicit Authenticator(std::vector<std::string> tokens)
      : tokens_(std::move(tokens)) {}

  // UNAUTHENTICATED unless one of the tokens was sent. How long it takes tells
  // nothing of the tokens but how many there are and how long they are.
  absl::Status Check(const grpc::ServerContext& context) const;

  bool Accepts(absl::string_view token) const;

 private:
  const std::vector<std::string> tokens_;
};

// The tokens of a file's text: one a line; empty lines and lines that begin
// with # are left out.
std::vector<std::string> ReadTokens(absl::string_view text);

// Whether a client can send it: a header holds printable ASCII only.
bool IsSendable(absl::string_view token);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
