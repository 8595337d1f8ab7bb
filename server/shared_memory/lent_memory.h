// Regions of lent device memory.
#ifndef LOSSD_SERVER_SHARED_MEMORY_LENT_MEMORY_H_
#define LOSSD_SERVER_SHARED_MEMORY_LENT_MEMORY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "lossd/v1/shared_memory.pb.h"
#include "server/base/device_lending.h"
#include "server/shared_memory/region.h"

namespace lossd::shared_memory {

// Opens the allocation that a client lends, for as long as the region lives,
// and returns the lent part as a region. `lending` is borrowed as long. Errors:
// INVALID_ARGUMENT, naming the field, for a UUID or a handle of a wrong length,
// 0 bytes, an offset that is no multiple of kRegionAlignment, and a part that
// is not within the allocation; and the errors of DeviceLending::Open().
// Thread-safe.
absl::StatusOr<std::unique_ptr<Region>> OpenLentMemory(
    DeviceLending& lending, const v1::RegisterDeviceMemory& lent);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_LENT_MEMORY_H_
