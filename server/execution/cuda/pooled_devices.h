// The devices of a pool, for memory that clients lend on them.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_POOLED_DEVICES_H_
#define LOSSD_SERVER_EXECUTION_CUDA_POOLED_DEVICES_H_

#include "absl/status/statusor.h"
#include "server/base/device_lending.h"
#include "server/execution/cuda/slot_pool.h"

namespace lossd::execution::cuda {

// A GPU's number is its number in the pool. Nothing is opened on a device that
// was retired. That a device is lost is for the executor to find out and to
// count: what a client asks for here retires none.
class PooledDevices final : public DeviceLending {
 public:
  // Borrowed.
  explicit PooledDevices(const SlotPool* pool) : pool_(pool) {}

  absl::StatusOr<DeviceAllocation> Open(const DeviceUuid& uuid,
                                        const IpcHandle& handle) override;
  void Close(const DeviceAllocation& allocation) override;

 private:
  const SlotPool* const pool_;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_POOLED_DEVICES_H_
