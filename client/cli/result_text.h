// The text that lossctl prints for a result.
#ifndef LOSSD_CLIENT_CLI_RESULT_TEXT_H_
#define LOSSD_CLIENT_CLI_RESULT_TEXT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/message/loss.h"

namespace lossd::cli {

// Statistics of a tensor's elements. All but the counts leave NaNs out, and are
// 0 if nothing is left.
struct TensorStatistics {
  int64_t elements = 0;
  int64_t nans = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double l2 = 0;  // the square root of the sum of squares
};

// Returns the statistics of a floating-point tensor. UNIMPLEMENTED for other
// types.
absl::StatusOr<TensorStatistics> StatisticsOf(client::ReceivedTensor& tensor);

// Returns a result as one JSON object. Numbers that JSON cannot express are the
// strings "NaN", "Infinity" and "-Infinity", as in proto3 JSON. `round_trip` is
// the time that the call took here.
absl::StatusOr<nlohmann::ordered_json> ResultJson(client::LossResult& result,
                                                  absl::Duration round_trip);

// Returns the elements of a floating-point tensor in row-major order, as JSON
// numbers that read back as the same elements, or as the three strings.
// UNIMPLEMENTED for other types.
absl::StatusOr<nlohmann::ordered_json> ElementsJson(
    client::ReceivedTensor& tensor);

// Returns a JSON object as an aligned table of two columns, for a person. A
// long list is cut to its first and last elements.
std::string Table(const nlohmann::ordered_json& object);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_RESULT_TEXT_H_
