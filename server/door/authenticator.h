// Checks bearer tokens.
#ifndef LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
#define LOSSD_SERVER_DOOR_AUTHENTICATOR_H_

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "server/door/token_file.h"

namespace lossd::door {

// Knows what a client with `authorization: Bearer TOKEN` may do. Without a file
// of tokens everyone may do everything. Thread-safe.
class Authenticator {  // D99
 public:
  // Returns one for the tokens of a file, or one that lets everyone in if
  // `path` is empty. Errors: those of ReadTokenFile().
  static absl::StatusOr<std::unique_ptr<Authenticator>> Load(
      const std::string& path);

  // Lets everyone in.
  Authenticator() = default;
  // Accepts `tokens` until the file at `path` has others. There is at least one
  // token.
  Authenticator(std::string path, std::vector<Token> tokens)
      : path_(std::move(path)), tokens_(std::move(tokens)) {}

  // Returns whether clients need no token.
  bool is_open() const { return path_.empty(); }

  // Reads the file again. If it is not fit for use, the tokens in use stay.
  // Writes a line about tokens that are new, and about a refusal unless its
  // line was the last one; with `at_once`, there is a line in any case.
  //
  // Somebody may be writing the file, and half a token would be a token that is
  // easier to guess. So new tokens are in use when two readings in a row have
  // found them, or `at_once`.
  void Reread(bool at_once);

  // Returns another number after the tokens in use have changed. Until then a
  // client may do what it could do before.
  uint64_t generation() const { return generation_; }

  // Returns how often PermissionsOf() has found no known token.
  uint64_t refused() const { return refused_; }

  // Returns whether the tokens in use are those of the file, as far as it was
  // read.
  bool file_is_good() const { return file_is_good_; }

  // Returns what the client may do. Errors: UNAUTHENTICATED unless the value of
  // its `authorization` has a known token. The time that this takes depends on
  // the number of tokens and on the length of the value, not on any token.
  absl::StatusOr<Permissions> PermissionsOf(
      std::optional<absl::string_view> authorization) const;
  absl::StatusOr<Permissions> PermissionsOf(
      const grpc::ServerContextBase& context) const;

 private:
  // Returns what the lines with this token allow together.
  Permissions Granted(absl::string_view token) const;
  absl::Status Refuse(absl::string_view why) const;

  const std::string path_;
  absl::Mutex reading_;  // held while the file is read; mu_ is taken under it
  std::string refusal_ ABSL_GUARDED_BY(reading_);  // the last one that was said
  std::vector<Token> last_read_ ABSL_GUARDED_BY(reading_);
  std::atomic<bool> file_is_good_ = true;
  std::atomic<uint64_t> generation_ = 0;
  mutable std::atomic<uint64_t> refused_ = 0;
  mutable absl::Mutex mu_;
  std::vector<Token> tokens_ ABSL_GUARDED_BY(mu_);
};

// Returns OK, or PERMISSION_DENIED that names the permission which the token
// has not.
absl::Status Require(Permission needed, Permissions granted);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_AUTHENTICATOR_H_
