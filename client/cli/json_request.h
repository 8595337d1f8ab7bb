#ifndef LOSSD_CLIENT_CLI_JSON_REQUEST_H_
#define LOSSD_CLIENT_CLI_JSON_REQUEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::cli {

// A request in proto3 JSON, as grpcurl takes it. INVALID_ARGUMENT says what is
// wrong, and for text that is not JSON at all in which line and column.
absl::StatusOr<v1::ComputeLossRequest> ParseJsonRequest(
    const std::string& text);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_JSON_REQUEST_H_
