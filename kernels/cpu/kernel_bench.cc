// Rates of the CPU kernel on one thread, in elements per second. Before
// anything is timed, a sample is held against the reference and the instruction
// sets against each other: a wrong kernel has no speed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/reference/reference.h"

namespace lossd::kernels::cpu {
namespace {

// What the face asks of the gradient's memory.
constexpr size_t kAlignment = 64;

template <class T>
std::span<T> AlignedPart(std::vector<T>& storage, size_t n) {
  void* start = storage.data();
  size_t space = storage.size() * sizeof(T);
  return {static_cast<T*>(std::align(kAlignment, n * sizeof(T), start, space)),
          n};
}

// Logits N(0, 3^2), hard targets, mean reduction.
template <class T, class Target>
struct Sample {
  using Element = T;
  Sample(uint64_t n, ElementType type, ElementType target_type,
         bool with_gradient)
      : logits(n),
        targets(n),
        gradient_storage(n + kAlignment / sizeof(T)),
        partials((n + kBlockElements - 1) / kBlockElements) {
    std::mt19937 random(1);
    std::normal_distribution<float> logit(0, 3);
    for (T& x : logits) x = logit(random);
    for (Target& t : targets) t = static_cast<Target>(random() % 2);
    pieces[0] = std::as_bytes(std::span(logits));
    pieces[1] = std::as_bytes(std::span(targets));
    segment.shape.rank = 1;
    segment.shape.dims[0] = segment.element_count = n;
    segment.logits = {type, std::span(pieces).first(1)};
    segment.targets = {target_type, std::span(pieces).last(1)};
    gradient = AlignedPart(gradient_storage, n);
    if (with_gradient) {
      segment.gradient = std::as_writable_bytes(gradient).data();
    }
    segment.gradient_type = type;
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;

  void Compute(const InstructionSet& set) {
    set.compute_blocks(segment,
                       GradientScale(segment, NormalizerOf(segment, Totals())),
                       0, partials);
  }

  std::vector<T> logits;
  std::vector<Target> targets;
  std::vector<T> gradient_storage;
  std::span<T> gradient;
  std::vector<BlockPartial> partials;
  Piece pieces[2];
  Segment segment;
};

using Float32Sample = Sample<float, float>;

template <class S>
void Time(benchmark::State& state, S& sample, const InstructionSet& set) {
  for (auto _ : state) {
    sample.Compute(set);
    benchmark::DoNotOptimize(Combine(sample.partials).loss_sum);
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(sample.segment.element_count));
}

// The one that is compared with PyTorch: float32 throughout, with gradient.
void F32(benchmark::State& state) {
  Float32Sample sample(static_cast<uint64_t>(state.range(0)),
                       ElementType::kFloat32, ElementType::kFloat32, true);
  Time(state, sample, BestInstructionSet());
}
BENCHMARK(F32)->Name("f32_gradient")->Arg(65536)->Arg(16777216);

void LossOnly(benchmark::State& state) {
  Float32Sample sample(65536, ElementType::kFloat32, ElementType::kFloat32,
                       false);
  Time(state, sample, BestInstructionSet());
}
BENCHMARK(LossOnly)->Name("loss_only");

void ByteTargets(benchmark::State& state) {
  Sample<float, uint8_t> sample(65536, ElementType::kFloat32,
                                ElementType::kUint8, true);
  Time(state, sample, BestInstructionSet());
}
BENCHMARK(ByteTargets)->Name("uint8_targets");

void F64(benchmark::State& state) {
  Sample<double, double> sample(65536, ElementType::kFloat64,
                                ElementType::kFloat64, true);
  Time(state, sample, BestInstructionSet());
}
BENCHMARK(F64)->Name("float64");

// What a set made of `sample`: its gradient and its partials, as bytes.
template <class S>
std::string BytesOf(const S& sample) {
  std::string bytes(reinterpret_cast<const char*>(sample.gradient.data()),
                    sample.gradient.size_bytes());
  for (const BlockPartial& partial : sample.partials) {
    bytes.append(reinterpret_cast<const char*>(&partial.loss_sum),
                 sizeof(double));
  }
  return bytes;
}

// Within the accuracy that README.md states: 1 ulp, of float64 2.
template <class T>
bool IsClose(double got, long double exact) {
  constexpr double kUlps = sizeof(T) == 4 ? 1 : 2;
  return std::fabs(static_cast<long double>(got) - exact) <=
         kUlps * std::numeric_limits<T>::epsilon() * std::fabs(exact);
}

// What is wrong with a set's answer for the sample; "" if nothing is.
template <class S>
std::string Wrong(const S& sample, const reference::Answer& exact,
                  const std::string& bytes_of_best) {
  using T = typename S::Element;
  if (BytesOf(sample) != bytes_of_best) return "differs from the best set";
  for (size_t i = 0; i < sample.gradient.size(); ++i) {
    if (!IsClose<T>(sample.gradient[i], exact.gradient[i])) {
      return "has a wrong gradient at " + std::to_string(i);
    }
  }
  const Totals totals = Combine(sample.partials);
  const double normalizer = NormalizerOf(sample.segment, totals);
  return IsClose<T>(LossOf(sample.segment, totals, normalizer), exact.loss)
             ? ""
             : "has a wrong loss";
}

// Ends the program if an instruction set is not right on a sample, whose last
// block is shorter and ends within a vector.
template <class T, class Target>
void Prove(ElementType type, ElementType target_type) {
  Sample<T, Target> sample(2 * kBlockElements + 903, type, target_type, true);
  // A sum: a mean would round every gradient element a second time.
  sample.segment.options.reduction = Reduction::kSum;
  const reference::Answer exact = reference::Compute(sample.segment);
  sample.Compute(BestInstructionSet());
  const std::string best = BytesOf(sample);
  for (const InstructionSet& set : InstructionSets()) {
    std::fill(sample.gradient.begin(), sample.gradient.end(), T{-7});
    sample.Compute(set);
    const std::string wrong = Wrong(sample, exact, best);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "kernel_bench: %s with %s targets on %s %s\n",
                 std::string(Name(type)).c_str(),
                 std::string(Name(target_type)).c_str(),
                 std::string(set.name).c_str(), wrong.c_str());
    std::exit(1);
  }
}

// Every kind that is timed.
void ProveAll() {
  Prove<float, float>(ElementType::kFloat32, ElementType::kFloat32);
  Prove<float, uint8_t>(ElementType::kFloat32, ElementType::kUint8);
  Prove<double, double>(ElementType::kFloat64, ElementType::kFloat64);
}

}  // namespace
}  // namespace lossd::kernels::cpu

int main(int argc, char** argv) {
  lossd::kernels::cpu::ProveAll();
  for (const auto& set : lossd::kernels::cpu::InstructionSets()) {
    benchmark::RegisterBenchmark(("set_" + std::string(set.name)).c_str(),
                                 [&set](benchmark::State& state) {
                                   using namespace lossd::kernels;
                                   cpu::Float32Sample sample(
                                       65536, ElementType::kFloat32,
                                       ElementType::kFloat32, true);
                                   cpu::Time(state, sample, set);
                                 });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
