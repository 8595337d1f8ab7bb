#include "server/door/admin_gate.h"

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "server/door/status.h"

namespace lossd::door {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;

// Methods are guarded unless they are known, so that a service which somebody
// adds is not open by oversight.
bool IsGuarded(absl::string_view method) {
  return !absl::StartsWith(method, "/lossd.v1.") &&
         !absl::StartsWith(method, "/grpc.health.v1.");
}

absl::Status MayUseAdmin(const absl::StatusOr<Permissions>& granted) {
  return granted.ok() ? Require(Permission::kAdmin, *granted)
                      : granted.status();
}

class Guard final : public Interceptor {
 public:
  Guard(const Authenticator* authenticator, ServerRpcInfo* call)
      : authenticator_(authenticator), call_(call) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      const absl::Status allowed =
          MayUseAdmin(authenticator_->PermissionsOf(*call_->server_context()));
      if (!allowed.ok()) End(allowed);
    }
    methods->Proceed();
  }

 private:
  // The handler runs, and finds a call that has been cancelled: it can neither
  // read nor write. gRPC lets no interceptor of a server answer by itself.
  void End(const absl::Status& why) {
    const grpc::Status answer = ToGrpcStatus(why, {});
    grpc_call_cancel_with_status(
        call_->server_context()->c_call(),
        static_cast<grpc_status_code>(answer.error_code()),
        answer.error_message().c_str(), nullptr);
  }

  const Authenticator* const authenticator_;
  ServerRpcInfo* const call_;
};

class Gate final : public ServerInterceptorFactoryInterface {
 public:
  explicit Gate(const Authenticator* authenticator)
      : authenticator_(authenticator) {}

  // gRPC owns what this returns; null lets the call pass.
  Interceptor* CreateServerInterceptor(ServerRpcInfo* call) override {
    return IsGuarded(call->method()) ? new Guard(authenticator_, call)
                                     : nullptr;
  }

 private:
  const Authenticator* const authenticator_;
};

}  // namespace

void AddAdminGate(const Authenticator* authenticator,
                  grpc::ServerBuilder* builder) {
  std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> gates;
  gates.push_back(std::make_unique<Gate>(authenticator));
  builder->experimental().SetInterceptorCreators(std::move(gates));
}

std::function<absl::Status(std::optional<absl::string_view>)> AdminCheck(
    const Authenticator* authenticator) {
  return [authenticator](std::optional<absl::string_view> authorization) {
    return MayUseAdmin(authenticator->PermissionsOf(authorization));
  };
}

}  // namespace lossd::door
