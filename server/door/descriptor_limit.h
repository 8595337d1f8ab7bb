// How many descriptors the process may have open, and has.
#ifndef LOSSD_SERVER_DOOR_DESCRIPTOR_LIMIT_H_
#define LOSSD_SERVER_DOOR_DESCRIPTOR_LIMIT_H_

#include <cstdint>

namespace lossd::door {

// Returns the soft limit (RLIMIT_NOFILE) of the process.
int64_t DescriptorLimit();

// Raises the soft limit to the hard one, which needs no right. The soft limit
// is low for the sake of programs that use select(), and this one does not.
void RaiseDescriptorLimit();

// Returns how many connections may be open at once by default: nine tenths of
// the descriptors that are free now, at least one. The rest is for the metrics
// page, certificates and shared memory.
int64_t DefaultMaxConnections();

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_DESCRIPTOR_LIMIT_H_
