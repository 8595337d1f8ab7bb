#include "client/cli/watch/histogram.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"

namespace lossd::cli::watch {
namespace {

bool BeganAnew(const Histogram& earlier, const Histogram& later) {
  if (earlier.buckets.size() != later.buckets.size()) return true;
  for (size_t i = 0; i < later.buckets.size(); ++i) {
    if (later.buckets[i].bound != earlier.buckets[i].bound ||
        later.buckets[i].count < earlier.buckets[i].count) {
      return true;
    }
  }
  return later.count < earlier.count;
}

}  // namespace

std::optional<double> Histogram::Quantile(double q) const {
  if (buckets.size() < 2 || !(buckets.back().count > 0)) return std::nullopt;
  const double rank = q * buckets.back().count;
  const auto last = buckets.end() - 1;
  const auto bucket =
      std::find_if(buckets.begin(), last,
                   [rank](const Bucket& b) { return b.count >= rank; });
  if (bucket == last) return (last - 1)->bound;
  if (bucket == buckets.begin()) {
    if (bucket->bound <= 0) return bucket->bound;
    return bucket->bound * (rank / bucket->count);
  }
  const Bucket& below = *(bucket - 1);
  const double share = (rank - below.count) / (bucket->count - below.count);
  return below.bound + (bucket->bound - below.bound) * share;
}

std::optional<double> Histogram::Mean() const {
  if (!(count > 0)) return std::nullopt;
  return sum / count;
}

Histogram HistogramOf(const Exposition& exposition, const std::string& name,
                      const Labels& labels) {
  Histogram histogram;
  for (const Sample& sample : exposition.Of(name + "_bucket")) {
    Labels others = sample.labels;
    const auto bound = others.extract("le");
    double number = 0;
    if (!bound.empty() && others == labels &&
        absl::SimpleAtod(bound.mapped(), &number)) {
      histogram.buckets.push_back({number, sample.value});
    }
  }
  std::sort(histogram.buckets.begin(), histogram.buckets.end(),
            [](const auto& a, const auto& b) { return a.bound < b.bound; });
  // Prometheus takes no quantile of a histogram without the open bucket.
  if (histogram.buckets.empty() || !std::isinf(histogram.buckets.back().bound))
    return {};
  histogram.count = exposition.Value(name + "_count", labels).value_or(0);
  histogram.sum = exposition.Value(name + "_sum", labels).value_or(0);
  return histogram;
}

Histogram Between(const Histogram& earlier, const Histogram& later) {
  if (BeganAnew(earlier, later)) return later;
  Histogram between = later;
  for (size_t i = 0; i < between.buckets.size(); ++i) {
    between.buckets[i].count -= earlier.buckets[i].count;
  }
  between.count -= earlier.count;
  between.sum -= earlier.sum;
  return between;
}

}  // namespace lossd::cli::watch
