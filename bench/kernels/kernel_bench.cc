// Measures the CPU kernel on one thread, in elements per second. Before
// anything is timed, samples are compared with the reference and across the
// instruction sets: a wrong kernel has no speed. --instruction_set=NAME
// (avx2, avx512 or a name of Highway) chooses the set of the kernel and of its
// peers; the cases set_NAME run every set.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/kernels/peers.h"
#include "bench/kernels/proof.h"
#include "bench/kernels/sample.h"
#include "kernels/cpu/named_set.h"
#include "kernels/rows.h"

namespace lossd::kernels::cpu {
namespace {

// The set of --instruction_set, by default the best; main() chooses it before
// anything is timed.
const InstructionSet*& ChosenSlot() {
  static const InstructionSet* chosen = &BestInstructionSet();
  return chosen;
}
const InstructionSet& Chosen() { return *ChosenSlot(); }

void CountElements(benchmark::State& state, uint64_t per_iteration) {
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(per_iteration));
}

template <class S>
void Time(benchmark::State& state, S& sample, const InstructionSet& set) {
  for (auto _ : state) {
    sample.Compute(set);
    benchmark::DoNotOptimize(Combine(sample.partials).loss_sum);
  }
  CountElements(state, sample.segment.element_count);
}

template <ElementType kLogits, ElementType kTargets>
void Gradient(benchmark::State& state) {
  Sample<kLogits, kTargets> sample(static_cast<uint64_t>(state.range(0)));
  Time(state, sample, Chosen());
}
// The benchmark compares the size 65536 with PyTorch.
BENCHMARK(Gradient<ElementType::kFloat32, ElementType::kFloat32>)
    ->Name("f32_gradient")
    ->Arg(65536)
    ->Arg(1048576)
    ->Arg(16777216)
    ->UseRealTime();
BENCHMARK(Gradient<ElementType::kBFloat16, ElementType::kBit>)
    ->Name("bf16_bit_gradient")
    ->Arg(65536)
    ->Arg(16777216)
    ->UseRealTime();
// A mean of so many elements has a gradient that rounds to 0 in float8; the
// time does not depend on it.
BENCHMARK(Gradient<ElementType::kFloat8E4M3Fn, ElementType::kBit>)
    ->Name("float8_bit_gradient")
    ->Arg(2048)
    ->Arg(65536)
    ->Arg(16777216)
    ->UseRealTime();
BENCHMARK(Gradient<ElementType::kFloat32, ElementType::kUint8>)
    ->Name("f32_uint8_gradient")
    ->Arg(65536)
    ->UseRealTime();
BENCHMARK(Gradient<ElementType::kFloat64, ElementType::kFloat64>)
    ->Name("f64_gradient")
    ->Arg(65536)
    ->UseRealTime();

// Both derivatives in one pass, as boosting and Newton steps ask for them.
void SecondDerivative(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)));
  sample.WantSecondDerivative();
  Time(state, sample, Chosen());
}
BENCHMARK(SecondDerivative)
    ->Name("f32_second_derivative")
    ->Arg(65536)
    ->Arg(1048576)
    ->UseRealTime();

// A loss for each row of 1,024 elements, and beside it a loss for each element,
// which a client would add up.
constexpr uint64_t kRow = 1024;

void Rows(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)));
  Segment& segment = sample.segment;
  segment.options.reduction = Reduction::kRows;
  segment.row_elements = kRow;
  std::vector<double> sums(RowPieceCount(segment));
  segment.row_sums = sums.data();
  std::vector<float> losses(RowCount(segment));
  const double scale = GradientScale(segment, KnownDivisor(segment));
  for (auto _ : state) {
    Chosen().compute_blocks(segment, scale, 0, sample.partials);
    RowLossWriter writer(&segment,
                         std::as_writable_bytes(std::span(losses)).data());
    RowAccumulator().Add(segment,
                         [&](const RowTotals& row) { writer.Add(row); });
    benchmark::DoNotOptimize(losses.data());
  }
  CountElements(state, segment.element_count);
}
BENCHMARK(Rows)->Name("f32_rows")->Arg(1048576)->UseRealTime();

void EachElement(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)));
  std::vector<float> storage(sample.gradient_storage.size());
  const std::span<float> losses = AlignedPart(storage, sample.gradient.size());
  sample.segment.options.reduction = Reduction::kNone;
  sample.segment.losses = std::as_writable_bytes(losses).data();
  Time(state, sample, Chosen());
}
BENCHMARK(EachElement)->Name("f32_none")->Arg(1048576)->UseRealTime();

// Torchvision's defaults: gamma 2, alpha 1/4.
void AskForFocal(Float32Sample& sample) {
  sample.segment.options.kind = LossKind::kSigmoidFocal;
  sample.segment.options.focal_gamma = 2;
  sample.segment.options.focal_alpha = 0.25;
}

void Focal(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)));
  AskForFocal(sample);
  Time(state, sample, Chosen());
}
// 8,000,000 elements are a detector's image: 100,000 anchors of 80 classes.
BENCHMARK(Focal)
    ->Name("focal_f32_gradient")
    ->Arg(65536)
    ->Arg(8000000)
    ->UseRealTime();

void LossOnly(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)));
  sample.segment.gradient = nullptr;
  Time(state, sample, Chosen());
}
BENCHMARK(LossOnly)->Name("f32_loss")->Arg(65536)->UseRealTime();

// --- Peers (peers.h) ---

// Returns whether Highway's peer computes what the kernel does.
bool IsRight(Float32Sample& sample, const float* targets) {
  constexpr float kScale = 1.0f;
  sample.segment.options.reduction = Reduction::kSum;
  sample.Compute(Chosen());
  const std::vector<float> expected(sample.gradient.begin(),
                                    sample.gradient.end());
  const double loss = Combine(sample.partials).loss_sum;
  const double got =
      HighwayMath(sample.logits.data(), targets, sample.logits.size(), kScale,
                  sample.gradient.data());
  const auto is_close = [](float a, float b) {
    return std::fabs(a - b) <= 1e-6f;
  };
  return std::fabs(got - loss) <= 1e-5 * loss &&
         std::ranges::equal(sample.gradient, expected, is_close);
}

void HighwayMathPeer(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)));
  const float* const targets =
      reinterpret_cast<const float*>(sample.targets.data());
  if (!IsRight(sample, targets)) {
    state.SkipWithError("the peer computes another loss");
    return;
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(HighwayMath(sample.logits.data(), targets,
                                         sample.logits.size(), 1e-5f,
                                         sample.gradient.data()));
  }
  CountElements(state, sample.logits.size());
}
BENCHMARK(HighwayMathPeer)->Name("highway_math")->Arg(65536)->UseRealTime();

// Two threads run this at the same time, each on half of the elements.
void Halves(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)) / 2);
  Time(state, sample, Chosen());
}
BENCHMARK(Halves)
    ->Name("f32_gradient_halves")
    ->Arg(1048576)
    ->Arg(16777216)
    ->Arg(134217728)
    ->Threads(2)
    ->UseRealTime();

// The focal loss on two threads, each with half of the elements.
void FocalHalves(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)) / 2);
  AskForFocal(sample);
  Time(state, sample, Chosen());
}
BENCHMARK(FocalHalves)
    ->Name("focal_f32_gradient_halves")
    ->Arg(8000000)
    ->Threads(2)
    ->UseRealTime();

void StreamPeer(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)) / 2);
  const float* const targets =
      reinterpret_cast<const float*>(sample.targets.data());
  for (auto _ : state) {
    Stream(sample.logits.data(), targets, sample.logits.size(),
           sample.gradient.data());
    benchmark::ClobberMemory();
  }
  CountElements(state, sample.logits.size());
}
BENCHMARK(StreamPeer)
    ->Name("stream_halves")
    ->Arg(16777216)
    ->Arg(134217728)
    ->Threads(2)
    ->UseRealTime();

// Chooses the set of the argument --instruction_set=NAME for the kernel and for
// its peers, and takes that argument out of `arguments`. Returns what is wrong,
// or "".
std::string Choose(std::vector<char*>& arguments) {
  constexpr std::string_view kFlag = "--instruction_set=";
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    const std::string_view argument = *at;
    if (!argument.starts_with(kFlag)) continue;
    ChosenSlot() = FindInstructionSet(argument.substr(kFlag.size()));
    if (ChosenSlot() == nullptr || !LimitPeers(Chosen())) {
      return std::string(argument) + ": this machine has " +
             InstructionSetNames();
    }
    arguments.erase(at);
    break;
  }
  benchmark::AddCustomContext("instruction_set", std::string(Chosen().name));
  benchmark::AddCustomContext("instruction_sets", InstructionSetNames());
  return "";
}

}  // namespace

int Main(std::vector<char*> arguments) {
  std::string wrong = Choose(arguments);
  if (wrong.empty()) wrong = WrongInSamples(InstructionSets());
  if (!wrong.empty()) {
    std::fprintf(stderr, "kernel_bench: %s\n", wrong.c_str());
    return 1;
  }
  for (const auto& set : InstructionSets()) {
    benchmark::RegisterBenchmark(("set_" + std::string(set.name)).c_str(),
                                 [&set](benchmark::State& state) {
                                   Float32Sample sample(65536);
                                   Time(state, sample, set);
                                 });
  }
  int argc = static_cast<int>(arguments.size());
  benchmark::Initialize(&argc, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(argc, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace lossd::kernels::cpu

int main(int argc, char** argv) {
  return lossd::kernels::cpu::Main({argv, argv + argc});
}
