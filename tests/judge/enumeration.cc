#include "tests/judge/enumeration.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/judge/forms.h"
#include "tests/judge/judge.h"
#include "tests/judge/kernel_run.h"
#include "tests/judge/line.h"

namespace lossd::exhaustive {
namespace {

using kernels::cpu::InstructionSet;

constexpr uint32_t kInfinity = 0x7f800000;  // as bits of a float32
constexpr uint64_t kRun = 64;               // neighbours that stay together
// Magnitudes of a line: its results stay in the second-level cache.
constexpr uint64_t kLine = 1 << 13;

// A drawn number below `n`, the same for the same arguments (SplitMix64).
uint64_t Draw(uint64_t seed, uint64_t index, uint64_t n) {
  uint64_t z = seed * 0xd1342543de82ef95 + index * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (z ^ (z >> 31)) % n;
}

// The magnitudes that are looked at, in rising order, as bits.
class Magnitudes {
 public:
  Magnitudes(uint64_t stride, uint32_t seed)
      : stride_(stride),
        seed_(seed),
        count_(kInfinity / kRun / stride * kRun) {}

  uint64_t count() const { return count_; }
  // Infinity after the last one.
  uint32_t At(uint64_t j) const {
    if (j >= count_) return kInfinity;
    const uint64_t run = j / kRun;
    const uint64_t shift = stride_ == 1 ? 0 : Draw(seed_, run, stride_);
    return static_cast<uint32_t>((run * stride_ + shift) * kRun + j % kRun);
  }

 private:
  uint64_t stride_;
  uint32_t seed_;
  uint64_t count_;
};

template <class Form>
void JudgeForm(const Line& line, std::array<Results, 2>& results,
               FormTally& tally) {
  for (const int t : {0, 1}) {
    for (size_t i = 0; i < line.size(); ++i) {
      const FormResult at = Form::At(line.logits()[i], static_cast<float>(t));
      results[t].losses[i] = at.loss;
      results[t].gradient[i] = at.gradient;
    }
  }
  Judge(line, results, tally);
}

bool SameBits(const Results& a, const Results& b) {
  const auto same = [](const std::vector<float>& x,
                       const std::vector<float>& y) {
    return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
  };
  return same(a.losses, b.losses) && same(a.gradient, b.gradient);
}

// Computes and judges one line.
class LineJudge {
 public:
  LineJudge(const EnumerationOptions& options, size_t size)
      : options_(options), kernel_(size) {
    for (Results& results : results_) {
      results.losses.resize(size);
      results.gradient.resize(size);
    }
  }

  void Judge(const Line& line, Enumeration& sum) {
    for (const int t : {0, 1}) JudgeKernelBits(line, t, sum);
    exhaustive::Judge(line, results_, sum.kernel);
    if (!options_.peers) return;
    JudgeForm<PyTorchForm>(line, results_, sum.pytorch);
    JudgeForm<CaffeForm>(line, results_, sum.caffe);
  }

 private:
  void JudgeKernelBits(const Line& line, int t, Enumeration& sum) {
    const InstructionSet& best = options_.instruction_sets.front();
    for (const InstructionSet& set : options_.instruction_sets) {
      Results& results = &set == &best ? results_[t] : other_;
      kernel_.Compute(set, line.logits(), t, results);
      if (&set != &best && !SameBits(results_[t], other_))
        sum.instruction_sets.Add(line.logits().front());
      if (!kernel_.OtherPathsAgree(set, t, results))
        sum.paths.Add(line.logits().front());
    }
  }

  const EnumerationOptions& options_;
  KernelRun kernel_;
  std::array<Results, 2> results_;
  Results other_;
};

// Hands out lines to threads, and says how far they are.
class Progress {
 public:
  explicit Progress(uint64_t lines) : lines_(lines) {}

  // The next line, or `lines` after the last.
  uint64_t Next() {
    const uint64_t line = next_.fetch_add(1);
    const uint64_t twentieths = line * 20 / lines_;
    absl::MutexLock lock(&mu_);
    for (; shown_ < twentieths && shown_ < 20; ++shown_) {
      std::fprintf(stderr, "exhaustive: %d %%\n",
                   5 * static_cast<int>(shown_ + 1));
    }
    return line;
  }

 private:
  const uint64_t lines_;
  std::atomic<uint64_t> next_ = 0;
  absl::Mutex mu_;
  uint64_t shown_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

void Enumeration::Merge(const Enumeration& other) {
  kernel.Merge(other.kernel);
  pytorch.Merge(other.pytorch);
  caffe.Merge(other.caffe);
  paths.Merge(other.paths);
  instruction_sets.Merge(other.instruction_sets);
}

Enumeration Enumerate(const EnumerationOptions& options) {
  const Magnitudes magnitudes(options.stride, options.seed);
  const uint64_t lines = (magnitudes.count() + kLine - 1) / kLine;
  Progress progress(lines);
  std::vector<Enumeration> sums(options.threads);
  const auto work = [&](Enumeration& sum) {
    LineJudge judge(options, 2 * (kLine + 1));
    std::vector<uint32_t> bits(kLine + 1);
    for (uint64_t k = progress.Next(); k < lines; k = progress.Next()) {
      for (uint64_t i = 0; i <= kLine; ++i) {
        bits[i] = magnitudes.At(k * kLine + i);
      }
      judge.Judge(Line(bits), sum);
    }
  };
  std::vector<std::thread> threads;
  for (Enumeration& sum : sums) threads.emplace_back(work, std::ref(sum));
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 1; i < sums.size(); ++i) sums[0].Merge(sums[i]);
  return sums[0];
}

}  // namespace lossd::exhaustive
