// The answers to entries of a ComputeLosses stream, as they go into its
// messages.
#ifndef LOSSD_SERVER_RPC_ENTRY_ANSWER_H_
#define LOSSD_SERVER_RPC_ENTRY_ANSWER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/tracing/call_trace.h"
#include "server/wire/sliced_message.h"

namespace lossd::rpc {

// An answer from the moment in which it is ready until it is out. Movable.
struct EntryAnswer {
  uint64_t id = 0;
  // No other entry may have the id until this is written.
  bool holds_id = false;
  absl::Time received;
  absl::StatusCode code = absl::StatusCode::kOk;
  // The failure's message and the request's id go into the log. They are
  // KeptText(), because an answer that waits may hold no permit.
  std::string reason;
  std::string request_id;
  admission::Permit permit;
  std::unique_ptr<tracing::CallTrace> trace;  // null unless it is sampled
  wire::SlicedMessage bytes;  // a field of the ComputeLossesResponse
};

// Returns as much of a text as the log and the spans show.
std::string KeptText(absl::string_view text);

// Return the field of a ComputeLossesResponse that holds the answer: a
// ComputeLossResponse, or the failure that `status` is. The request_id goes
// into the log if the failure is a defect of ours.
wire::SlicedMessage ResponseEntry(uint64_t id, wire::SlicedMessage response);
wire::SlicedMessage FailureEntry(uint64_t id, const absl::Status& status,
                                 absl::string_view request_id);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_ENTRY_ANSWER_H_
