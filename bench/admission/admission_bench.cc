// The cost of admission: nanoseconds that one thread spends on a request's
// permit, from Admit() over MarkAnswered() to its destruction, while other
// threads do so too. The column CPU is processor time, and the counter ns is
// the time that passes on a thread, waiting for others included. The minimum
// over the repetitions is what other load on the machine disturbs least:
//
//   admission_bench --benchmark_repetitions=20 | grep _min
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"

namespace lossd::admission {
namespace {

constexpr int64_t kBytes = 512;  // a request of 64 elements with its reply

// A hash, as a connection's flow is one.
uint64_t FlowNumber(int connection) {
  return (static_cast<uint64_t>(connection) + 1) * 0x9E3779B97F4A7C15;
}

// Arithmetic that takes about a microsecond and shares no memory.
void OtherWork() {
  uint64_t state = 1;
  benchmark::DoNotOptimize(state);
  for (int i = 0; i < 700; ++i) state = state * 6364136223846793005 + 1;
  benchmark::DoNotOptimize(state);
}

void AdmitOne(AdmissionController& controller, uint64_t flow) {
  Refusal refusal;
  absl::StatusOr<Permit> permit =
      controller.Admit(kBytes, flow, absl::InfiniteFuture(), absl::UnixEpoch(),
                       absl::ZeroDuration(), &refusal);
  if (!permit.ok()) std::abort();
  permit->MarkAnswered();
}

// Times `step` on every thread of the run.
template <typename Step>
void Time(benchmark::State& state, Step step) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  for (auto _ : state) step();
  const std::chrono::duration<double, std::nano> spent = Clock::now() - begin;
  state.counters["ns"] = benchmark::Counter(
      spent.count() / static_cast<double>(state.iterations()),
      benchmark::Counter::kAvgThreads);
}

// Every thread has a connection of its own.
void BackToBack(benchmark::State& state) {
  static AdmissionController controller({});
  const uint64_t flow = FlowNumber(state.thread_index());
  Time(state, [flow] { AdmitOne(controller, flow); });
}

// All threads serve one connection.
void OneConnection(benchmark::State& state) {
  static AdmissionController controller({});
  Time(state, [] { AdmitOne(controller, FlowNumber(0)); });
}

// Other work separates the requests of a thread, as it does in the server.
void WithOtherWork(benchmark::State& state) {
  static AdmissionController controller({});
  const uint64_t flow = FlowNumber(state.thread_index());
  Time(state, [flow] {
    OtherWork();
    AdmitOne(controller, flow);
  });
}

// The part of WithOtherWork() that is not admission.
void OtherWorkAlone(benchmark::State& state) {
  Time(state, [] { OtherWork(); });
}

double Minimum(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

void OnThreads(benchmark::internal::Benchmark* benchmark) {
  benchmark->Threads(1)->Threads(2)->Threads(4)->UseRealTime();
  benchmark->ComputeStatistics("min", Minimum);
}
BENCHMARK(BackToBack)->Name("back_to_back")->Apply(OnThreads);
BENCHMARK(OneConnection)->Name("one_connection")->Apply(OnThreads);
BENCHMARK(WithOtherWork)->Name("with_other_work")->Apply(OnThreads);
BENCHMARK(OtherWorkAlone)->Name("other_work_alone")->Apply(OnThreads);

}  // namespace
}  // namespace lossd::admission

int main(int argc, char** argv) {
  // The server does so too: Abseil's search for lock cycles doubles the cost of
  // a mutex.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
