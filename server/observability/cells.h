// Counts that one thread writes and any thread reads.
#ifndef LOSSD_SERVER_OBSERVABILITY_CELLS_H_
#define LOSSD_SERVER_OBSERVABILITY_CELLS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lossd::observability {

// A count that only its own thread adds to, with a load and a store instead of
// a locked instruction. The store releases, so a reader that reads the ends of
// calls first and then their beginnings sees the beginning of every call whose
// end it has seen.
class Cell {  // D41
 public:
  void Add(int64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n,
                 std::memory_order_release);
  }
  int64_t Read() const { return value_.load(std::memory_order_acquire); }

 private:
  std::atomic<int64_t> value_{0};
};

// As Cell, for a sum of real numbers. Not to be given a NaN or an infinity, of
// which the sum would never be rid.
class RealCell {
 public:
  void Add(double value) {
    value_.store(value_.load(std::memory_order_relaxed) + value,
                 std::memory_order_release);
  }
  double Read() const { return value_.load(std::memory_order_acquire); }

 private:
  std::atomic<double> value_{0};
};

// A scale of buckets whose upper bounds double: unit, 2 unit, 4 unit, ...; the
// last bucket is open. All values are integers, so sums over threads are exact.
struct Doubling {
  int64_t unit;
  size_t bounds;  // the number of finite upper bounds

  // Returns the first bucket whose bound is at least `value`; `bounds` is the
  // open bucket.
  constexpr size_t Bucket(int64_t value) const {
    if (value <= unit) return 0;
    const auto units = static_cast<uint64_t>((value - 1) / unit);  // >= 1
    return std::min(bounds, static_cast<size_t>(std::bit_width(units)));
  }
  constexpr int64_t Bound(size_t bucket) const { return unit << bucket; }
};

// Times in nanoseconds: 50 us, 100 us, ..., 13.1 s.
inline constexpr Doubling kSeconds{50'000, 19};
// Requests in a batch: 1, 2, ..., 4096.
inline constexpr Doubling kBatchRequests{1, 13};
// Elements in a batch: 64, 128, ..., 16 Mi.
inline constexpr Doubling kBatchElements{64, 19};

// Counts values by bucket and adds them up. One thread writes, any may read.
template <Doubling kScale>
class Histogram {
 public:
  static constexpr Doubling scale() { return kScale; }

  // A negative value, from a clock that went back, counts as 0.
  void Observe(int64_t value) {
    value = std::max<int64_t>(value, 0);
    sum.Add(value);
    buckets[kScale.Bucket(value)].Add(1);
  }

  std::array<Cell, kScale.bounds + 1> buckets;
  Cell sum;
};

// Values by a label that is known only when it is first used, such as a
// backend's name. Labels come from our own literals; if a defect makes more of
// them, label number kMost and all later ones share the entry "other", so that
// they do not fill the memory.
template <typename Value, size_t kMost = 16>
class ByLabel {
 public:
  // Returns the label's value. Only the writing thread may call this.
  Value& At(std::string_view label) {
    const size_t size = size_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < size; ++i) {
      if (entries_[i].label == label) return entries_[i].value;
    }
    if (size == kMost) return entries_[kMost - 1].value;
    entries_[size].label = size + 1 == kMost ? "other" : std::string(label);
    size_.store(size + 1, std::memory_order_release);
    return entries_[size].value;
  }

  // Calls visit(label, value) for each label. Any thread may call this.
  template <typename Visit>
  void ForEach(Visit visit) const {
    const size_t size = size_.load(std::memory_order_acquire);
    for (size_t i = 0; i < size; ++i)
      visit(entries_[i].label, entries_[i].value);
  }

 private:
  struct Entry {
    std::string label;  // constant once size_ covers it
    Value value;
  };
  std::atomic<size_t> size_{0};
  std::array<Entry, kMost> entries_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_CELLS_H_
