// The line of the log about one call.
#ifndef LOSSD_SERVER_RPC_CALL_LOG_H_
#define LOSSD_SERVER_RPC_CALL_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/observability/metrics.h"

namespace lossd::rpc {

struct EndedCall {
  observability::Method method;
  absl::StatusCode code;
  absl::Duration latency;
  absl::string_view request_id;
  // door::Connections::NameOf(), such as ipv4:127.0.0.1:4711.
  std::string peer;
  std::string flow;      // the name that a trusted peer gave the flow, if any
  std::string reason;    // the message of an answer that is an error
  std::string trace_id;  // if the call is traced
  std::string detail;    // follows the code, such as " of 5 elements"
};

// Writes the line, at level debug. Call it only if
// observability::LogsRequests(), because the struct costs time to build.
void LogCall(const EndedCall& call);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_CALL_LOG_H_
