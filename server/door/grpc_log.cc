#include "server/door/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/observability/log.h"

namespace lossd::door {
namespace {

std::atomic<int64_t> failed_handshakes{0};

void OnLine(gpr_log_func_args* args) {
  if (absl::StartsWith(args->message, "Handshake failed")) ++failed_handshakes;
  // gRPC ends the process after this line.
  if (absl::StartsWith(args->message, "assertion failed")) {
    observability::LogError(absl::StrCat("grpc: ", args->message));
  }
  if (!observability::LogsRequests()) return;
  observability::LogRequest(absl::StrCat("grpc: ", args->message), {});
}

}  // namespace

void JoinGrpcLog() { gpr_set_log_function(&OnLine); }

int64_t FailedHandshakes() { return failed_handshakes; }

}  // namespace lossd::door
