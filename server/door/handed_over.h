// Sockets that a service manager opened for this process.
#ifndef LOSSD_SERVER_DOOR_HANDED_OVER_H_
#define LOSSD_SERVER_DOOR_HANDED_OVER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "base/file_descriptor.h"

namespace lossd::door {

// Returns the sockets that systemd, or another that speaks its protocol
// (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES), has handed over; none if it has
// not. Each listens, is one of TCP or a Unix stream socket, does not block, and
// is closed on exec. The variables are removed, so that no child takes them for
// its own. Errors: INVALID_ARGUMENT, naming the descriptor that is something
// else. Call once, before threads start and before anything is opened.
absl::StatusOr<std::vector<FileDescriptor>> TakeHandedOverSockets();

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_HANDED_OVER_H_
