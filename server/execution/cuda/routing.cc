#include "server/execution/cuda/routing.h"

#include <algorithm>
#include <utility>

namespace lossd::execution::cuda {
namespace {

bool IsRetired(const DeviceView& device) { return device.retired; }

void Append(std::span<const size_t> portions, std::vector<size_t>& to) {
  to.insert(to.end(), portions.begin(), portions.end());
}

}  // namespace

Routing Route(std::span<const PortionView> portions,
              std::span<const DeviceView> devices) {
  const bool none_left = std::all_of(devices.begin(), devices.end(), IsRetired);
  Routing routing;
  std::vector<std::vector<size_t>> on_device(devices.size());
  for (size_t k = 0; k < portions.size(); ++k) {
    const PortionView& portion = portions[k];
    const bool on_host = portion.device == kernels::kHost;
    const auto device = static_cast<size_t>(portion.device);
    if (!on_host && devices[device].retired) {
      routing.drop.push_back(k);
    } else if (!portion.counted && !portion.counts_on_device) {
      routing.count_on_host.push_back(k);
    } else if (!on_host) {
      on_device[device].push_back(k);
    } else if (none_left) {
      routing.fallback.push_back(k);
    } else {
      routing.any_device.push_back(k);
    }
  }
  for (size_t k = 0; k < on_device.size(); ++k) {
    if (on_device[k].empty()) continue;
    routing.shares.push_back({static_cast<int>(k), std::move(on_device[k])});
  }
  return routing;
}

std::vector<int> Routing::WantedDevices() const {
  std::vector<int> wanted;
  for (const DeviceShare& share : shares) wanted.push_back(share.device);
  return wanted;
}

std::vector<size_t> Routing::ForDevices() const {
  std::vector<size_t> all = any_device;
  for (const DeviceShare& share : shares) Append(share.portions, all);
  std::sort(all.begin(), all.end());
  return all;
}

SlotPart PartOf(const Routing& routing, int device) {
  SlotPart part;
  Append(routing.any_device, part.here);
  for (const DeviceShare& one : routing.shares) {
    Append(one.portions, one.device == device ? part.here : part.elsewhere);
  }
  std::sort(part.here.begin(), part.here.end());
  std::sort(part.elsewhere.begin(), part.elsewhere.end());
  return part;
}

}  // namespace lossd::execution::cuda
