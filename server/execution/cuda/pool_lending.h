// Opens memory that clients lend on the devices of a pool.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_POOL_LENDING_H_
#define LOSSD_SERVER_EXECUTION_CUDA_POOL_LENDING_H_

#include "absl/status/statusor.h"
#include "server/base/device_lending.h"
#include "server/execution/cuda/slot_pool.h"

namespace lossd::execution::cuda {

// A device's number is its number in the pool. Nothing is opened on a retired
// device, but no error here retires one: only the executor does. Thread-safe.
class PoolLending final : public DeviceLending {
 public:
  // Borrows `pool`.
  explicit PoolLending(const SlotPool* pool) : pool_(pool) {}

  absl::StatusOr<DeviceAllocation> Open(const DeviceUuid& uuid,
                                        const IpcHandle& handle) override;
  void Close(const DeviceAllocation& allocation) override;

 private:
  const SlotPool* const pool_;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_POOL_LENDING_H_
