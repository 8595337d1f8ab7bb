#include "client/cli/watch/job_table.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/watch/histogram.h"
#include "client/cli/watch/increase.h"

namespace lossd::cli::watch {
namespace {

constexpr absl::string_view kPrefix = "lossd_job_";

std::string JobOf(const Labels& labels) {
  const auto job = labels.find("job");
  return job == labels.end() ? TextOf(labels) : job->second;
}

std::string ColumnOf(absl::string_view metric) {
  return std::string(absl::StripPrefix(metric, kPrefix));
}

bool IsCounter(const Exposition& metrics, const std::string& name) {
  const auto type = metrics.types.find(name);
  return type == metrics.types.end() ? absl::EndsWith(name, "_total")
                                     : type->second == "counter";
}

// Returns the family of a histogram's sample, such as NAME for NAME_count.
std::optional<std::string> HistogramOfSample(const Exposition& metrics,
                                             const std::string& name) {
  for (const char* suffix : {"_bucket", "_sum", "_count"}) {
    absl::string_view family = name;
    if (!absl::ConsumeSuffix(&family, suffix)) continue;
    const auto type = metrics.types.find(std::string(family));
    if (type != metrics.types.end() && type->second == "histogram") {
      return std::string(family);
    }
  }
  return std::nullopt;
}

// Two scrapes, and the seconds between them.
struct Span {
  const Exposition& earlier;
  const Exposition& later;
  double seconds;
};

void AddPercentile(const Span& span, const std::string& histogram,
                   const Sample& sample, std::map<std::string, double>& row) {
  const auto p99 = Between(HistogramOf(span.earlier, histogram, sample.labels),
                           HistogramOf(span.later, histogram, sample.labels))
                       .Quantile(0.99);
  if (p99) row[absl::StrCat(ColumnOf(histogram), " p99")] = *p99;
}

void AddRate(const Span& span, const std::string& counter, const Sample& sample,
             std::map<std::string, double>& row) {
  const double increase = Increase(span.earlier, counter, sample);
  const std::string column = ColumnOf(absl::StripSuffix(counter, "_total"));
  row[column + "/s"] += span.seconds > 0 ? increase / span.seconds : 0;
}

void AddSamples(const Span& span, const std::string& name, JobTable& jobs) {
  const auto histogram = HistogramOfSample(span.later, name);
  if (histogram.has_value() && !absl::EndsWith(name, "_count")) return;
  for (const Sample& sample : span.later.Of(name)) {
    auto& row = jobs[JobOf(sample.labels)];
    if (histogram.has_value()) {
      AddPercentile(span, *histogram, sample, row);
    } else if (IsCounter(span.later, name)) {
      AddRate(span, name, sample, row);
    } else {
      row[ColumnOf(name)] += sample.value;
    }
  }
}

}  // namespace

JobTable JobsBetween(const Exposition& earlier, const Exposition& later,
                     double seconds) {
  JobTable jobs;
  const std::string prefix(kPrefix);
  for (auto family = later.samples.lower_bound(prefix);
       family != later.samples.end() && absl::StartsWith(family->first, prefix);
       ++family) {
    AddSamples({earlier, later, seconds}, family->first, jobs);
  }
  return jobs;
}

}  // namespace lossd::cli::watch
