// Requests in JSON.
#ifndef LOSSD_CLIENT_CLI_JSON_REQUEST_H_
#define LOSSD_CLIENT_CLI_JSON_REQUEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::cli {

// Reads a request in proto3 JSON, as grpcurl takes it. INVALID_ARGUMENT says
// what is wrong; if the text is not JSON, it names the line and the column.
absl::StatusOr<v1::ComputeLossRequest> ParseJsonRequest(
    const std::string& text);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_JSON_REQUEST_H_
