// Memory of a GPU that a client lends.
#ifndef LOSSD_SERVER_SHARED_MEMORY_LENT_MEMORY_H_
#define LOSSD_SERVER_SHARED_MEMORY_LENT_MEMORY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "lossd/v1/shared_memory.pb.h"
#include "server/base/device_lending.h"
#include "server/shared_memory/region.h"

namespace lossd::shared_memory {

// The part of an allocation that a client lends, open for as long as the region
// lives. `devices` is borrowed as long. INVALID_ARGUMENT, naming the field, for
// a UUID or a handle of another length, 0 bytes, an offset that is no multiple
// of 64, and a part that is not within the allocation; else what
// Devices::Open() says.
absl::StatusOr<std::unique_ptr<Region>> OpenLentMemory(
    Devices& devices, const v1::RegisterDeviceMemory& lent);

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_LENT_MEMORY_H_
