// Reads Prometheus' text format, for tests.
#ifndef LOSSD_TESTS_SERVER_OBSERVABILITY_EXPOSITION_H_
#define LOSSD_TESTS_SERVER_OBSERVABILITY_EXPOSITION_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cstdlib>
#include <map>
#include <sstream>
#include <string>

#include "server/observability/metrics.h"

namespace lossd::observability {

struct Exposition {
  std::map<std::string, double> samples;     // by name{label="value",...}
  std::map<std::string, std::string> types;  // by family
  std::map<std::string, std::string> helps;

  // A sample that is missing throws, which fails the test.
  double at(const std::string& sample) const { return samples.at(sample); }
};

// Every line is a comment of ours or NAME[{LABELS}] VALUE; anything else ends
// the test program.
inline Exposition ParseExposition(const std::string& text) {
  Exposition result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, rest;
    if (line.starts_with("# ")) {
      words >> hash >> kind >> name >> std::ws;
      std::getline(words, rest);
      (kind == "TYPE" ? result.types : result.helps)[name] = rest;
      continue;
    }
    const size_t space = line.rfind(' ');
    if (space == std::string::npos) std::abort();
    char* end = nullptr;
    const double value = std::strtod(line.c_str() + space + 1, &end);
    if (*end != '\0') std::abort();
    const bool fresh =
        result.samples.emplace(line.substr(0, space), value).second;
    if (!fresh) std::abort();
  }
  return result;
}

inline Exposition Scrape(const Metrics& metrics) {
  return ParseExposition(
      prometheus::TextSerializer().Serialize(metrics.collectable()->Collect()));
}

}  // namespace lossd::observability

#endif  // LOSSD_TESTS_SERVER_OBSERVABILITY_EXPOSITION_H_
