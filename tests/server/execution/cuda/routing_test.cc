// Tests where portions of a batch go. Needs no device, not even a fake one.
#include "server/execution/cuda/routing.h"

#include <gtest/gtest.h>

#include <vector>

namespace lossd::execution::cuda {
namespace {

constexpr PortionView kOnHost = {};
constexpr PortionView kUncounted = {.counted = false};
constexpr DeviceView kWorks = {};
constexpr DeviceView kRetired = {.retired = true};

constexpr PortionView OnDevice(int device) { return {.device = device}; }

using Portions = std::vector<PortionView>;
using Devices = std::vector<DeviceView>;
using Indices = std::vector<size_t>;

TEST(CudaRouting, SendsHostTensorsToAnyDevice) {
  const Routing routing = Route(Portions{kOnHost, kOnHost}, Devices{kWorks});
  EXPECT_EQ(routing.any_device, (Indices{0, 1}));
  EXPECT_EQ(routing.ForDevices(), (Indices{0, 1}));
  EXPECT_TRUE(routing.WantedDevices().empty());
}

TEST(CudaRouting, SendsTensorsOfADeviceToThatDevice) {
  const Routing routing =
      Route(Portions{OnDevice(1), kOnHost, OnDevice(0), OnDevice(1)},
            Devices{kWorks, kWorks, kWorks});
  ASSERT_EQ(routing.shares.size(), 2u);
  EXPECT_EQ(routing.shares[0].device, 0);
  EXPECT_EQ(routing.shares[0].portions, Indices{2});
  EXPECT_EQ(routing.shares[1].device, 1);
  EXPECT_EQ(routing.shares[1].portions, (Indices{0, 3}));
  EXPECT_EQ(routing.any_device, Indices{1});
  EXPECT_EQ(routing.WantedDevices(), (std::vector{0, 1}));
  EXPECT_EQ(routing.ForDevices(), (Indices{0, 1, 2, 3}));
}

TEST(CudaRouting, GivesTheFirstSlotTheHostTensorsToo) {
  const Routing routing =
      Route(Portions{OnDevice(1), kOnHost, OnDevice(0), kOnHost},
            Devices{kWorks, kWorks});
  const SlotPart part = PartOf(routing, 1);
  EXPECT_EQ(part.here, (Indices{0, 1, 3}));
  EXPECT_EQ(part.elsewhere, Indices{2});
}

TEST(CudaRouting, CountsOnTheHostBeforeADeviceComputes) {
  const Routing routing = Route(Portions{kUncounted, kOnHost}, Devices{kWorks});
  EXPECT_EQ(routing.count_on_host, Indices{0});
  EXPECT_EQ(routing.any_device, Indices{1});
}

TEST(CudaRouting, CountsTensorsOfADeviceOnTheHostIfItCanReadWhatIsCounted) {
  const Routing routing =
      Route(Portions{{.device = 0, .counted = false},
                     {.device = 0, .counted = false, .counts_on_device = true}},
            Devices{kWorks});
  EXPECT_EQ(routing.count_on_host, Indices{0});
  ASSERT_EQ(routing.shares.size(), 1u);
  EXPECT_EQ(routing.shares[0].portions, Indices{1});
}

TEST(CudaRouting, DropsTensorsOfARetiredDevice) {
  const Routing routing = Route(
      Portions{
          OnDevice(0), {.device = 0, .counted = false}, OnDevice(1), kOnHost},
      Devices{kRetired, kWorks});
  EXPECT_EQ(routing.drop, (Indices{0, 1}));
  EXPECT_TRUE(routing.count_on_host.empty());
  ASSERT_EQ(routing.shares.size(), 1u);
  EXPECT_EQ(routing.shares[0].device, 1);
  EXPECT_EQ(routing.any_device, Indices{3});
}

TEST(CudaRouting, FallsBackForHostTensorsOnceNoDeviceIsLeft) {
  const Routing routing = Route(Portions{kOnHost, OnDevice(1), kUncounted},
                                Devices{kRetired, kRetired});
  EXPECT_EQ(routing.fallback, Indices{0});
  EXPECT_EQ(routing.drop, Indices{1});
  EXPECT_EQ(routing.count_on_host, Indices{2});
  EXPECT_TRUE(routing.ForDevices().empty());
}

// Every portion has exactly one route, whatever the state of the devices.
TEST(CudaRouting, RoutesEveryPortionOnce) {
  Portions portions;
  for (const int device : {kernels::kHost, 0, 1}) {
    for (const bool counted : {false, true}) {
      for (const bool counts_on_device : {false, true}) {
        portions.push_back({device, counted, counts_on_device});
      }
    }
  }
  for (const bool first : {false, true}) {
    for (const bool second : {false, true}) {
      const Routing routing = Route(portions, Devices{{first}, {second}});
      std::vector<int> routes(portions.size());
      const SlotPart part = PartOf(routing, 0);
      for (const Indices& list :
           {routing.count_on_host, part.here, part.elsewhere, routing.fallback,
            routing.drop}) {
        for (const size_t k : list) ++routes[k];
      }
      EXPECT_EQ(routes, std::vector<int>(portions.size(), 1));
    }
  }
}

}  // namespace
}  // namespace lossd::execution::cuda
