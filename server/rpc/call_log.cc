#include "server/rpc/call_log.h"

#include "absl/strings/str_cat.h"
#include "server/observability/log.h"

namespace lossd::rpc {
namespace {

using observability::Method;

absl::string_view Name(Method method) {
  switch (method) {
    case Method::kComputeLoss:
      return "ComputeLoss";
    case Method::kStreamLoss:
      return "StreamLoss";
    case Method::kComputeLosses:
      return "ComputeLosses";
    case Method::kComputeLossesStream:
      return "ComputeLossesStream";
    case Method::kGetServerInfo:
      return "GetServerInfo";
  }
  return "";
}

}  // namespace

void LogCall(const EndedCall& call) {
  const absl::string_view method = Name(call.method);
  const std::string code = absl::StatusCodeToString(call.code);
  observability::LogRequest(absl::StrCat(method, " ", code, call.detail),
                            {{"method", std::string(method)},
                             {"code", code},
                             {"seconds", absl::ToDoubleSeconds(call.latency)},
                             {"request_id", std::string(call.request_id)},
                             {"peer", call.peer},
                             {"flow", call.flow},
                             {"reason", call.reason},
                             {"trace_id", call.trace_id}});
}

}  // namespace lossd::rpc
