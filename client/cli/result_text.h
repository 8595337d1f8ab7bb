#ifndef LOSSD_CLIENT_CLI_RESULT_TEXT_H_
#define LOSSD_CLIENT_CLI_RESULT_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/loss.h"
#include "nlohmann/json_fwd.hpp"

namespace lossd::cli {

// A result as one JSON object. Numbers that JSON cannot say are the strings
// "NaN", "Infinity" and "-Infinity", as in proto3 JSON. `round_trip` is the
// time the call took here.
absl::StatusOr<nlohmann::ordered_json> ResultJson(client::LossResult& result,
                                                  absl::Duration round_trip);

// The elements of a floating-point tensor in row-major order, as JSON numbers
// that read back as the same element; what JSON cannot say as above.
absl::StatusOr<nlohmann::ordered_json> ElementsJson(
    client::ReceivedTensor& tensor);

// A JSON object as an aligned table of two columns, for a person. Of a long
// list only the first and the last elements are shown.
std::string Table(const nlohmann::ordered_json& object);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_RESULT_TEXT_H_
