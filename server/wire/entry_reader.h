// Cuts a ComputeLossesRequest into its entries without reading their requests.
#ifndef LOSSD_SERVER_WIRE_ENTRY_READER_H_
#define LOSSD_SERVER_WIRE_ENTRY_READER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lossd::wire {

// One entry as it came.
struct Entry {
  uint64_t id = 0;  // 0: absent
  // The bytes of the ComputeLossRequest, which share the message's memory.
  // Nothing says yet that they are one.
  std::vector<grpc::Slice> request;
  // The bytes of the google.protobuf.Duration; read by TimeoutOf().
  std::string timeout;
  bool has_timeout = false;
};

// A message holds at most this many entries. An entry of two bytes is answered
// with a failure of a hundred, so without a bound a message of the largest size
// could ask for gigabytes of answers.
inline constexpr size_t kMaxEntries = 16384;

// Returns the entries of a message. Errors: INVALID_ARGUMENT if the buffer is
// no ComputeLossesRequest, apart from the content of requests and timeouts, or
// has more than kMaxEntries.
absl::StatusOr<std::vector<Entry>> ReadEntries(const grpc::ByteBuffer& buffer);

// Returns the entry's timeout, or an infinite one if it has none. Errors:
// INVALID_ARGUMENT if it is no duration or negative.
absl::StatusOr<absl::Duration> TimeoutOf(const Entry& entry);

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_ENTRY_READER_H_
