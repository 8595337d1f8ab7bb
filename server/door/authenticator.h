// Checks bearer tokens.
#ifndef LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
#define LOSSD_SERVER_DOOR_AUTHENTICATOR_H_

#include <grpcpp/server_context.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace lossd::door {

// Checks `authorization: Bearer TOKEN` against a list. A list that is empty at
// the start lets every call in, and stays empty. Thread-safe.
class Authenticator {
 public:
  explicit Authenticator(std::vector<std::string> tokens)
      : is_open_(tokens.empty()), tokens_(std::move(tokens)) {}

  // Replaces the list, which was not empty at the start, by another one.
  void Replace(std::vector<std::string> tokens);

  // Errors: UNAUTHENTICATED unless the client sent one of the tokens. The time
  // that this takes depends on the number of tokens and their lengths, not on
  // their bytes.
  absl::Status Check(const grpc::ServerContext& context) const;

  // Returns whether the token is on the list.
  bool Accepts(absl::string_view token) const;

 private:
  const bool is_open_;
  mutable absl::Mutex mu_;
  std::vector<std::string> tokens_ ABSL_GUARDED_BY(mu_);
};

// Returns the tokens in a file's text: one a line, without surrounding blanks.
// Empty lines and lines that begin with # are ignored.
std::vector<std::string> ReadTokens(absl::string_view text);

// Returns whether a client can send the token: a gRPC header holds printable
// ASCII only.
bool IsSendable(absl::string_view token);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
