// The packets of the region socket: protobuf messages, and the descriptors that
// travel with them. All functions are thread-safe.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_PROTOCOL_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_PROTOCOL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lossd/v1/shared_memory.pb.h"
#include "server/shared_memory/region_table.h"

namespace lossd::shared_memory {

// The answer to one request: a message, and the descriptor that goes with it.
struct Answer {
  v1::SharedMemoryReply reply;
  FileDescriptor file;  // only with a new region of shared memory
};

// Does what a packet of `owner` asks for. A refusal is an answer, not an error.
// INVALID_ARGUMENT for bytes that are no SharedMemoryRequest: the connection is
// of no more use.
absl::StatusOr<Answer> AnswerPacket(RegionTable& table, Connection owner,
                                    absl::string_view packet);

// Returns the answer that carries an error.
Answer ErrorAnswer(const absl::Status& status);

// Receives the next packet. Never blocks and never raises a signal. Errors:
// UNAVAILABLE if there is no packet now, CANCELLED if the peer has closed, any
// other if the connection is of no more use. The system closes descriptors that
// come with the packet.
absl::StatusOr<std::string> Receive(int socket);

// Sends an answer. Never blocks and never raises a signal. Errors: UNAVAILABLE
// if the peer does not read its answers; RESOURCE_EXHAUSTED if too many
// descriptors are on their way.
absl::Status Send(int socket, const Answer& answer);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_PROTOCOL_H_
