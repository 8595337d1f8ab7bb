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

// A JSON object as an aligned table of two columns, for a person.
std::string Table(const nlohmann::ordered_json& object);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_RESULT_TEXT_H_
