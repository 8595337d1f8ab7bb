#include "tests/judge/enumeration.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "tests/judge/forms.h"
#include "tests/judge/kernel_run.h"

namespace lossd::judge {
namespace {

using kernels::cpu::InstructionSet;

constexpr uint32_t kInfinityBits = 0x7f800000;
constexpr uint64_t kRun = 64;  // neighbours that stay together
// The magnitudes of a line. Its results fit into the second-level cache.
constexpr uint64_t kLine = 1 << 13;

// Returns a number below `n` that depends on the arguments alone (SplitMix64).
uint64_t Draw(uint64_t seed, uint64_t index, uint64_t n) {
  uint64_t z = seed * 0xd1342543de82ef95 + index * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (z ^ (z >> 31)) % n;
}

// The bits of the magnitudes that are judged, in rising order.
class Magnitudes {
 public:
  Magnitudes(uint64_t stride, uint32_t seed)
      : stride_(stride),
        seed_(seed),
        count_(kInfinityBits / kRun / stride * kRun) {}

  uint64_t count() const { return count_; }
  // Returns infinity after the last one.
  uint32_t At(uint64_t j) const {
    if (j >= count_) return kInfinityBits;
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
    results[t].second.resize(Form::kHasSecond ? line.size() : 0);
    for (size_t i = 0; i < line.size(); ++i) {
      const FormResult at = Form::At(line.logits()[i], static_cast<float>(t));
      results[t].losses[i] = at.loss;
      results[t].gradient[i] = at.gradient;
      if (Form::kHasSecond) results[t].second[i] = at.second;
    }
  }
  Judge(line, results, tally);
}

bool SameBits(const Results& a, const Results& b) {
  const auto same = [](const std::vector<float>& x,
                       const std::vector<float>& y) {
    return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
  };
  return same(a.losses, b.losses) && same(a.gradient, b.gradient) &&
         same(a.second, b.second);
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
    judge::Judge(line, results_, sum.kernel);
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

// Hands out lines to threads and reports progress. Thread-safe.
class Progress {
 public:
  explicit Progress(uint64_t lines) : lines_(lines) {}

  // Returns the next line; `lines` or more after the last one.
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

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint32_t kNans = 0x7fffff;  // NaN patterns of each sign
constexpr uint32_t kNanLine = 1 << 16;

void CheckInfinities(const InstructionSet& set, std::string& broken) {
  const std::vector<float> logits = {-kInfinity, kInfinity};
  const float losses[2][2] = {{0, kInfinity}, {kInfinity, 0}};
  const float gradients[2][2] = {{0, 1}, {-1, 0}};
  KernelRun run(logits.size());
  Results results;
  for (const int t : {0, 1}) {
    run.Compute(set, logits, t, results);
    const bool agree = run.OtherPathsAgree(set, t, results);
    for (size_t i = 0; i < logits.size(); ++i) {
      if (agree && results.losses[i] == losses[t][i] &&
          results.gradient[i] == gradients[t][i] && results.second[i] == 0)
        continue;
      absl::StrAppendFormat(
          &broken, "%s: loss %g, gradient %g and second %g at %g, %d\n",
          set.name, results.losses[i], results.gradient[i], results.second[i],
          logits[i], t);
    }
  }
}

uint64_t CheckNans(const InstructionSet& set, uint64_t stride,
                   std::string& broken) {
  KernelRun run(kNanLine);
  Results results;
  std::vector<float> logits(kNanLine);
  uint64_t tried = 0;
  for (uint64_t first = 1; first <= kNans; first += kNanLine * stride) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      for (uint32_t i = 0; i < kNanLine; ++i) {
        // The last line repeats the first NaN.
        const uint64_t payload = first + i <= kNans ? first + i : 1;
        logits[i] = std::bit_cast<float>(sign | 0x7f800000 |
                                         static_cast<uint32_t>(payload));
      }
      for (const int t : {0, 1}) {
        run.Compute(set, logits, t, results);
        bool all = run.OtherPathsAgree(set, t, results);
        for (uint32_t i = 0; i < kNanLine; ++i) {
          all &= std::isnan(results.losses[i]) &&
                 std::isnan(results.gradient[i]) &&
                 std::isnan(results.second[i]);
        }
        if (!all || run.nan_count() != kNanLine) {
          absl::StrAppendFormat(&broken, "%s: NaNs from %#x on, t = %d\n",
                                set.name, sign | 0x7f800000 | first, t);
        }
      }
      tried += std::min<uint64_t>(kNanLine, kNans + 1 - first);
    }
  }
  return tried;
}

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

LimitFindings CheckLimits(std::span<const InstructionSet> instruction_sets,
                          uint64_t stride) {
  LimitFindings findings;
  for (const InstructionSet& set : instruction_sets) {
    CheckInfinities(set, findings.broken);
    findings.nans = CheckNans(set, stride, findings.broken);
  }
  return findings;
}

}  // namespace lossd::judge
