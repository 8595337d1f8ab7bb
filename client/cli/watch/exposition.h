// Metrics as Prometheus' text format has them.
#ifndef LOSSD_CLIENT_CLI_WATCH_EXPOSITION_H_
#define LOSSD_CLIENT_CLI_WATCH_EXPOSITION_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lossd::cli::watch {

// Label names and values. A sample has a name once.
using Labels = std::map<std::string, std::string>;

struct Sample {
  Labels labels;
  double value = 0;
};

// Samples by the name that stands before their labels: a histogram has
// NAME_bucket, NAME_sum and NAME_count.
struct Exposition {
  std::map<std::string, std::vector<Sample>> samples;
  // The types that TYPE lines declare, by the name of a family: "counter",
  // "gauge", "histogram", "summary" or "untyped".
  std::map<std::string, std::string> types;

  // Returns the samples of a name; none if the name is not there.
  const std::vector<Sample>& Of(const std::string& name) const;

  // Returns the value of the sample with exactly these labels.
  std::optional<double> Value(const std::string& name,
                              const Labels& labels = {}) const;
};

// Reads version 0.0.4 of the format. Time stamps are read and dropped.
// INVALID_ARGUMENT with the number of the first line that breaks the format.
absl::StatusOr<Exposition> ParseExposition(absl::string_view text);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_EXPOSITION_H_
