// Reads the messages that ComputeLosses answers with.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_ANSWER_READER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_ANSWER_READER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lossd::client {

// The answer to one entry.
struct EntryAnswer {
  uint64_t id = 0;
  // OK, or the entry's failure.
  absl::Status status;
  // With a failure: the server's retry delay, if it gave one.
  std::optional<absl::Duration> retry_delay;
  // With OK: the bytes of the ComputeLossResponse, in the received slices.
  // ReadReply() says whether they are one.
  absl::InlinedVector<grpc::Slice, 1> response;
};

// Returns the answers of a message. INTERNAL if it is no ComputeLossesResponse.
absl::StatusOr<std::vector<EntryAnswer>> ReadAnswers(
    const grpc::ByteBuffer& message);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_ANSWER_READER_H_
