#include "kernels/cpu/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "element_type/half.h"

namespace lossd::kernels::cpu {
namespace {

// The loops below have no branches that depend on the elements, so that a
// compiler turns them into vector code. It does so because their length is not
// a constant: it would unroll one of 16 first.

// Returns element `i` of an array at any address.
template <class Stored>
Stored StoredAt(const std::byte* from, uint64_t i) {
  Stored value;
  std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
  return value;
}

template <class Stored>
uint32_t CountSaturated(const std::byte* from, uint64_t n) {
  uint32_t count = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const auto value = Loaded<float>(StoredAt<Stored>(from, i));
    count += std::fabs(value) > kSaturatedLogit ? 1 : 0;
  }
  return count;
}

template <class Stored>
uint32_t CountPositives(const std::byte* from, uint64_t n) {
  uint32_t count = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const auto value = StoredAt<Stored>(from, i);
    if constexpr (std::is_integral_v<Stored>) {
      count += value > 0 ? 1 : 0;
    } else {
      count += Loaded<float>(value) >= kPositiveTarget ? 1 : 0;
    }
  }
  return count;
}

// The bits of a run begin with a byte.
uint32_t CountPositiveBits(const std::byte* from, uint64_t n) {
  uint32_t bits = 0;
  std::memcpy(&bits, from, (n + 7) / 8);
  return static_cast<uint32_t>(
      __builtin_popcount(bits & ((uint32_t{1} << n) - 1)));
}

template <class Stored>
double SumOfSquares(const std::byte* from, uint64_t n) {
  alignas(16) double squares[kRunElements];
  for (uint64_t i = 0; i < n; ++i) {
    const auto value = Loaded<double>(StoredAt<Stored>(from, i));
    squares[i] = value * value;
  }
  std::fill(squares + n, squares + kRunElements, 0);
  double lanes[2] = {};
  for (uint64_t i = 0; i < kRunElements; i += 2) {
    lanes[0] += squares[i];
    lanes[1] += squares[i + 1];
  }
  return lanes[0] + lanes[1];
}

// Returns the sum of the squares that are finite, and counts the others.
template <class Stored>
double SumOfFiniteSquares(const std::byte* from, uint64_t n, uint64_t& bad) {
  double sum = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const auto value = Loaded<double>(StoredAt<Stored>(from, i));
    if (std::isfinite(value * value)) {
      sum += value * value;
    } else {
      ++bad;
    }
  }
  return sum;
}

}  // namespace

RunReader::RunReader(const Tensor& tensor)
    : pieces_(tensor.pieces),
      bits_(ByteSize(tensor.type, 8)),
      cursor_(tensor),
      piece_(pieces_.empty() ? Piece() : pieces_.front()) {}

const std::byte* RunReader::Find(uint64_t offset, uint64_t size) {
  if (offset < start_) start_ = number_ = 0;
  while (offset >= start_ + pieces_[number_].size()) {
    start_ += pieces_[number_++].size();
  }
  piece_ = pieces_[number_];
  return cursor_.Fetch(offset, size, scratch_);
}

Sampler::Sampler(const Segment& segment, uint64_t blocks_before)
    : segment_(segment),
      blocks_before_(blocks_before),
      is_plain_(segment.targets.present() && !segment.options.ignore_target &&
                segment.options.targets_in_unit_interval),
      logits_(segment.logits),
      targets_(segment.targets),
      stager_(segment) {}

Sample Sampler::SampleBlocks(uint64_t first_block, uint64_t count) {
  Sample sample;
  for (uint64_t block = first_block; block < first_block + count; ++block) {
    const uint64_t first = block * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment_.element_count - first);
    const SampledRuns runs(blocks_before_ + block, n);
    double squares = 0;
    for (const SampledRun& run : runs) {
      const uint64_t begin = first + run.begin;
      AddRun(begin, run.end - run.begin, sample);
      squares += SquaresOfRun(begin, run.end - run.begin, sample.bad_gradients);
    }
    sample.gradient_squares +=
        squares * static_cast<double>(n) / static_cast<double>(runs.elements());
  }
  return sample;
}

void Sampler::AddRun(uint64_t first, uint64_t n, Sample& sample) {
  const std::byte* const logits = logits_.At(first, n);
  if (!is_plain_) return AddStagedRun(logits, first, n, sample);
  sample.elements += n;
  WithStoredFloat(segment_.logits.type, [&](auto stored) {
    sample.saturated += CountSaturated<decltype(stored)>(logits, n);
  });
  const ElementType type = segment_.targets.type;
  const std::byte* const targets = targets_.At(first, n);
  if (type == ElementType::kBit) {
    sample.positives += CountPositiveBits(targets, n);
    return;
  }
  WithStored(type, [&](auto stored) {
    sample.positives += CountPositives<decltype(stored)>(targets, n);
  });
}

void Sampler::AddStagedRun(const std::byte* logits, uint64_t first, uint64_t n,
                           Sample& sample) {
  float values[kRunElements];
  WithStoredFloat(segment_.logits.type, [&](auto stored) {
    for (uint64_t i = 0; i < n; ++i) {
      values[i] = Loaded<float>(StoredAt<decltype(stored)>(logits, i));
    }
  });
  float targets[kRunElements];
  stager_.StageTargets(first, n, targets);
  for (uint64_t i = 0; i < n; ++i) {
    if (targets[i] == StagedBlock<float>::kIgnored) continue;
    ++sample.elements;
    sample.positives += targets[i] >= kPositiveTarget ? 1 : 0;
    sample.saturated += std::fabs(values[i]) > kSaturatedLogit ? 1 : 0;
  }
}

double Sampler::SquaresOfRun(uint64_t first, uint64_t n, uint64_t& bad) const {
  double squares = 0;
  if (segment_.gradient == nullptr) return squares;
  WithStoredFloat(segment_.gradient_type, [&](auto stored) {
    using Stored = decltype(stored);
    const std::byte* const from = segment_.gradient + first * sizeof(Stored);
    squares = SumOfSquares<Stored>(from, n);
    if (!std::isfinite(squares)) {
      squares = SumOfFiniteSquares<Stored>(from, n, bad);
    }
  });
  return squares;
}

}  // namespace lossd::kernels::cpu
