// gpu_bench measures the device's own copy, the kernels, and the bus. Prints
// one JSON object to standard output, from which bench/gpu_bench.py makes a
// table.
//
//   gpu_bench [--device=N] [--largest=ELEMENTS]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bench/kernels/gpu_device.h"
#include "kernels/cuda/batch_layout.h"
#include "kernels/cuda/launcher.h"

namespace lossd::kernels::cuda {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMebi = uint64_t{1} << 20;
const std::byte* const kNowhere = nullptr;

struct Workload {
  std::string name;
  ElementType logits;
  ElementType targets;
  uint64_t segments;
  uint64_t elements;  // of each segment
  LossOptions options = {};
};

// A segment whose tensors exist on the device alone. The pieces have the right
// sizes and are never read on the host.
struct DeviceSegment {
  explicit DeviceSegment(const Workload& work)
      : logits(kNowhere, ByteSize(work.logits, work.elements)),
        targets(kNowhere, ByteSize(work.targets, work.elements)) {
    segment.options = work.options;
    segment.shape = {1, {work.elements}};
    segment.element_count = work.elements;
    segment.logits.type = segment.gradient_type = work.logits;
    segment.targets.type = work.targets;
    // Never written: it only says that a gradient is asked for.
    segment.gradient = reinterpret_cast<std::byte*>(kTensorAlignment);
  }
  Piece logits;
  Piece targets;
  Segment segment;
};

void FillTensors(const BatchLayout& layout, const Workload& work,
                 std::byte* input) {
  for (uint64_t k = 0; k < work.segments; ++k) {
    const PackedSegment& packed = layout.packed(k);
    if (work.logits == ElementType::kBFloat16) {
      FillBFloat16(input + packed.logits, work.elements);
    } else {
      FillFloat32(input + packed.logits, work.elements);
    }
    if (work.targets == ElementType::kBit) {
      FillBits(input + packed.targets, ByteSize(work.targets, work.elements));
    } else {
      FillFloat32Targets(input + packed.targets, work.elements);
    }
  }
}

// Returns the tensor bytes that the work reads and writes.
uint64_t TensorBytes(const Workload& work) {
  return work.segments * (2 * ByteSize(work.logits, work.elements) +
                          ByteSize(work.targets, work.elements));
}

// Returns the seconds of a device copy that reads and writes `bytes` in all; 0
// if the device has too little memory.
double CopySeconds(uint64_t bytes) {
  const uint64_t half = std::max<uint64_t>(bytes / 2, 1);
  const DeviceBytes from = AllocateOnDevice(half);
  const DeviceBytes to = AllocateOnDevice(half);
  if (from == nullptr || to == nullptr) return 0;
  return SecondsOf([&](cudaStream_t stream) {
    Check(cudaMemcpyAsync(to.get(), from.get(), half, cudaMemcpyDeviceToDevice,
                          stream),
          "cudaMemcpyAsync");
  });
}

Json RunWorkload(const Workload& work) {
  Json result = {{"name", work.name},
                 {"segments", work.segments},
                 {"elements", work.segments * work.elements},
                 {"bytes", TensorBytes(work)}};
  std::vector<DeviceSegment> segments(work.segments, DeviceSegment(work));
  std::vector<BatchItem> items;
  for (DeviceSegment& one : segments) {
    one.segment.logits.pieces = {&one.logits, 1};
    one.segment.targets.pieces = {&one.targets, 1};
    items.push_back({&one.segment, 1.0 / static_cast<double>(work.elements)});
  }
  const BatchLayout layout(items);
  const DeviceBytes input = AllocateOnDevice(layout.input_bytes());
  const DeviceBytes output = AllocateOnDevice(layout.output_bytes());
  if (input == nullptr || output == nullptr) {
    result["skipped"] = "the device has no room";
    return result;
  }
  std::vector<std::byte> tables(layout.table_bytes());
  const PackedBatch batch = layout.At(input.get(), output.get());
  layout.StageTables(batch, tables.data());
  Check(cudaMemcpy(input.get(), tables.data(), tables.size(),
                   cudaMemcpyHostToDevice),
        "cudaMemcpy");
  FillTensors(layout, work, input.get());
  Launcher launcher;
  Check(static_cast<cudaError_t>(launcher.Load()), "loading the kernels");
  const double seconds = SecondsOf([&](cudaStream_t stream) {
    Check(static_cast<cudaError_t>(launcher.Launch(batch, stream)), "launch");
  });
  result["seconds"] = seconds;
  result["bytes_per_second"] = static_cast<double>(TensorBytes(work)) / seconds;
  return result;
}

// Returns workloads for the two exact variants of float32.
std::vector<Workload> ExactWorkloads(uint64_t elements) {
  Workload smoothed = {"float32 smoothed", ElementType::kFloat32,
                       ElementType::kFloat32, 1, elements};
  Workload focal = smoothed;
  smoothed.options.label_smoothing = 0.1;
  focal.name = "float32 focal";
  focal.options.kind = LossKind::kSigmoidFocal;
  focal.options.focal_gamma = 2;
  return {smoothed, focal};
}

Json Kernels(uint64_t largest) {
  std::vector<Workload> all =
      ExactWorkloads(std::min<uint64_t>(largest, 64 * kMebi));
  for (uint64_t elements = kMebi / 16; elements <= largest; elements *= 4) {
    all.push_back(
        {"float32", ElementType::kFloat32, ElementType::kFloat32, 1, elements});
    all.push_back({"bfloat16+bit", ElementType::kBFloat16, ElementType::kBit, 1,
                   elements});
  }
  all.push_back({"float32 4096x64", ElementType::kFloat32,
                 ElementType::kFloat32, 4096, 64});
  all.push_back({"float32 4096x64 as one", ElementType::kFloat32,
                 ElementType::kFloat32, 1, uint64_t{4096} * 64});
  Json results = Json::array();
  for (const Workload& work : all) {
    Json result = RunWorkload(work);
    // The copy comes after the workload, so that both need not fit at once.
    const double copy = CopySeconds(TensorBytes(work));
    if (copy > 0) {
      result["copy_bytes_per_second"] =
          static_cast<double>(TensorBytes(work)) / copy;
    }
    results.push_back(result);
    std::fprintf(
        stderr, "%s, %llu elements: done\n", work.name.c_str(),
        static_cast<unsigned long long>(work.segments * work.elements));
  }
  return results;
}

// Returns the bytes per second between pinned memory and the device.
Json Bus() {
  constexpr uint64_t kBytes = 256 * kMebi;
  const PinnedBytes host = AllocatePinned(kBytes);
  const DeviceBytes device = AllocateOnDevice(kBytes);
  if (device == nullptr) return nullptr;
  const auto rate = [&](cudaMemcpyKind kind) {
    const bool out = kind == cudaMemcpyDeviceToHost;
    return static_cast<double>(kBytes) / SecondsOf([&](cudaStream_t stream) {
             Check(cudaMemcpyAsync(out ? host.get() : device.get(),
                                   out ? device.get() : host.get(), kBytes,
                                   kind, stream),
                   "cudaMemcpyAsync");
           });
  };
  return {{"to_device", rate(cudaMemcpyHostToDevice)},
          {"to_host", rate(cudaMemcpyDeviceToHost)}};
}

Json DeviceFacts(int device) {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, device),
        "cudaGetDeviceProperties");
  int driver = 0;
  Check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return {{"name", properties.name},
          {"capability", std::to_string(properties.major) + "." +
                             std::to_string(properties.minor)},
          {"multiprocessors", properties.multiProcessorCount},
          {"memory_bytes", properties.totalGlobalMem},
          {"l2_bytes", properties.l2CacheSize},
          {"driver", driver}};
}

// Returns the number after `name` among the arguments, or `otherwise`.
uint64_t Argument(int argc, char** argv, std::string_view name,
                  uint64_t otherwise) {
  for (int k = 1; k < argc; ++k) {
    const std::string_view argument = argv[k];
    if (argument.substr(0, name.size()) == name) {
      otherwise = std::strtoull(argv[k] + name.size(), nullptr, 10);
    }
  }
  return otherwise;
}

int Main(int argc, char** argv) {
  const int device = static_cast<int>(Argument(argc, argv, "--device=", 0));
  const uint64_t largest = Argument(argc, argv, "--largest=", 1024 * kMebi);
  const DeviceCount devices = CountDevices();
  if (device >= devices.count) {
    std::fprintf(
        stderr, "gpu_bench: no CUDA device %d: %s\n", device,
        devices.count > 0 ? "there are fewer" : devices.why_none.c_str());
    return 3;
  }
  Check(cudaSetDevice(device), "cudaSetDevice");
  Json report;
  report["device"] = DeviceFacts(device);
  constexpr uint64_t kCopied = 2048 * kMebi;
  const double copy = CopySeconds(kCopied);
  report["copy_bytes_per_second"] =
      copy > 0 ? static_cast<double>(kCopied) / copy : 0;
  report["kernels"] = Kernels(largest);
  report["bus_bytes_per_second"] = Bus();
  std::printf("%s\n", report.dump(1).c_str());
  return 0;
}

}  // namespace
}  // namespace lossd::kernels::cuda

int main(int argc, char** argv) {
  return lossd::kernels::cuda::Main(argc, argv);
}
