// Packets of the socket: messages, and the descriptors that travel with them.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_PROTOCOL_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_PROTOCOL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lossd/v1/shared_memory.pb.h"
#include "server/shared_memory/region_table.h"

namespace lossd::shared_memory {

// What answers one request: the message, and the descriptor that goes with it.
struct Answer {
  v1::SharedMemoryReply reply;
  FileDescriptor file;  // none but for a region of the host's memory
};

// Does what a packet of `owner` asks for. INVALID_ARGUMENT for bytes that are
// no SharedMemoryRequest: the connection is of no more use. What is refused is
// an answer.
absl::StatusOr<Answer> AnswerPacket(RegionTable& table, Connection owner,
                                    absl::string_view packet);

Answer ErrorAnswer(const absl::Status& status);

// None of these waits, nor raises a signal.

// The next packet: UNAVAILABLE if there is none now, CANCELLED if the peer has
// closed, others if the connection is of no more use. Descriptors that come
// with it are closed by the system.
absl::StatusOr<std::string> Receive(int socket);

// UNAVAILABLE if the peer does not read its answers; RESOURCE_EXHAUSTED if the
// system takes no more descriptors on their way.
absl::Status Send(int socket, const Answer& answer);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_PROTOCOL_H_
