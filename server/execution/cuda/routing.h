// Decides where the portions of a batch go, as a pure function of the portions
// and the devices: no threads, no locks, no device.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_ROUTING_H_
#define LOSSD_SERVER_EXECUTION_CUDA_ROUTING_H_

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::execution::cuda {

// A portion of a batch.
struct PortionView {
  int device = kernels::kHost;  // the device that has its tensors
  bool counted = true;          // its gradient's scale is known
  // The host cannot count it, because a tensor that is counted is on the
  // device.
  bool counts_on_device = false;
};

struct DeviceView {
  bool retired = false;  // lost, and not used again
};

// The portions whose tensors lie on one device, which alone can compute them.
struct DeviceShare {
  int device = 0;
  std::vector<size_t> portions;
};

// The routes of all portions, by their indices in rising order. Each portion is
// in exactly one list.
struct Routing {
  // The gradient's scale must be known before a device gets them. The host
  // counts these, and then they are routed again.
  std::vector<size_t> count_on_host;
  std::vector<DeviceShare> shares;  // not empty, by number of the device
  std::vector<size_t> any_device;  // host tensors, for whichever device is free
  std::vector<size_t> fallback;    // host tensors, and no device is left
  std::vector<size_t> drop;        // the device that has the tensors is lost

  // Returns the devices whose slots the batch may wait for; empty means any
  // device. A device with a share is waited for, and its slot then takes
  // `any_device` along: the batch needs no second slot for them.
  std::vector<int> WantedDevices() const;

  // Returns all portions that devices compute, in rising order.
  std::vector<size_t> ForDevices() const;
};

// `devices` has an element for each device, by number.
Routing Route(std::span<const PortionView> portions,
              std::span<const DeviceView> devices);

// The part of a routing that a slot computes, and the rest, which waits for the
// slots of other devices. Both are indices in rising order.
struct SlotPart {
  std::vector<size_t> here;
  std::vector<size_t> elsewhere;
};
SlotPart PartOf(const Routing& routing, int device);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_ROUTING_H_
