// pipeline_bench measures the bus, and batches on their way through the first
// device and back. Prints one JSON object to standard output, from which
// bench/gpu_bench.py makes a table.
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "bench/pipeline/pipeline_rates.h"
#include "server/base/clock.h"
#include "server/execution/cuda/device.h"

namespace lossd::bench {
namespace {

using execution::cuda::Device;
using Json = nlohmann::ordered_json;
using kernels::ElementType;

constexpr int kFailed = 1;
constexpr int kNoDevice = 3;

Json RateOf(Device& device, const std::string& name, const PipelineLoad& load,
            bool staged) {
  const SystemClock clock;
  const auto batches = staged ? StagedRate(device, load, clock)
                              : PinnedRate(device, load, clock);
  Json result = {{"name", name},
                 {"staged", staged},
                 {"slots", load.slots},
                 {"elements", load.elements},
                 {"bytes_in", BytesIn(load)},
                 {"bytes_out", BytesOut(load)}};
  if (batches.ok()) {
    result["batches_per_second"] = *batches;
  } else {
    result["skipped"] = std::string(batches.status().message());
  }
  return result;
}

// In elements: the size of the parts into which a server divides larger
// batches, and a size at which only bytes count.
constexpr uint64_t kSizes[] = {uint64_t{1} << 18, uint64_t{1} << 24};

Json RatesOf(Device& device) {
  PipelineLoad floats;
  PipelineLoad halves;
  halves.logits = ElementType::kBFloat16;
  halves.targets = ElementType::kBit;
  Json results = Json::array();
  for (const uint64_t elements : kSizes) {
    for (const int slots : {4, 8}) {
      for (PipelineLoad* load : {&floats, &halves}) {
        load->slots = slots;
        load->elements = elements;
      }
      for (const bool staged : {false, true}) {
        results.push_back(RateOf(device, "float32", floats, staged));
        results.push_back(RateOf(device, "bfloat16+bit", halves, staged));
      }
      std::fprintf(stderr, "%d slots of %llu elements: done\n", slots,
                   static_cast<unsigned long long>(elements));
    }
  }
  return results;
}

int Main() {
  constexpr int first[] = {0};
  const auto devices = execution::cuda::OpenDevices(first);
  if (!devices.ok()) {
    std::fprintf(stderr, "pipeline_bench: %s\n",
                 std::string(devices.status().message()).c_str());
    return kNoDevice;
  }
  Device& device = *devices->front();
  const auto bus = MeasureBus(device, uint64_t{256} << 20,
                              absl::Milliseconds(500), SystemClock());
  if (!bus.ok()) {
    std::fprintf(stderr, "pipeline_bench: %s\n",
                 std::string(bus.status().message()).c_str());
    return kFailed;
  }
  const Json report = {{"bus_bytes_per_second",
                        {{"to_device", bus->to_device},
                         {"to_host", bus->to_host},
                         {"both_to_device", bus->both_to_device},
                         {"both_to_host", bus->both_to_host}}},
                       {"pipelines", RatesOf(device)}};
  std::printf("%s\n", report.dump(1).c_str());
  return 0;
}

}  // namespace
}  // namespace lossd::bench

int main() { return lossd::bench::Main(); }
