#include "client/cpp/stream_errors.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lossd::client {
namespace {

// Returns UNAVAILABLE, which begins with `text`, for a stream that is lost, as
// `status` says, or another status as it is.
absl::Status Lost(absl::string_view text, const absl::Status& status) {
  // Nobody here has cancelled the stream or given it a deadline, so a proxy or
  // the server did.
  const bool lost = status.ok() || absl::IsCancelled(status) ||
                    absl::IsDeadlineExceeded(status) ||
                    absl::IsUnavailable(status);
  if (!lost) return status;
  return absl::UnavailableError(absl::StrCat(
      text, status.message().empty() ? "" : ": ", status.message()));
}

}  // namespace

absl::Status Unanswered(const absl::Status& status) {
  return Lost(
      "the stream ended before the answer came; the request may have been "
      "computed, and may be sent again",
      status);
}

absl::Status NotBegun(const absl::Status& status) {
  if (absl::IsUnavailable(status)) return status;
  return Lost("the stream ended before it had begun", status);
}

absl::Status NotRead() {
  return absl::UnavailableError(
      "the stream was ended because the server does not read it; the request "
      "may have been computed, and may be sent again");
}

absl::Status NotGreeted() {
  return absl::UnavailableError(
      "the server accepted the stream and did not begin to answer it "
      "(SessionOptions::greeting_timeout)");
}

}  // namespace lossd::client
