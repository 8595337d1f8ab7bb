// The errors of calls whose stream ends.
#ifndef LOSSD_CLIENT_CPP_STREAM_ERRORS_H_
#define LOSSD_CLIENT_CPP_STREAM_ERRORS_H_

#include "absl/status/status.h"

namespace lossd::client {

// Returns the error of calls that a stream was given and did not answer before
// it ended as `status` says.
absl::Status Unanswered(const absl::Status& status);

// Returns the error of calls that wait for a stream which ended, as `status`
// says, before it had begun.
absl::Status NotBegun(const absl::Status& status);

// Return the errors of calls whose stream was given up: its server does not
// read, or has not begun to answer.
absl::Status NotRead();
absl::Status NotGreeted();

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_STREAM_ERRORS_H_
