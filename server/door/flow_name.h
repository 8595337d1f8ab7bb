// The name that a trusted peer, such as a proxy, gives the flow of a call.
#ifndef LOSSD_SERVER_DOOR_FLOW_NAME_H_
#define LOSSD_SERVER_DOOR_FLOW_NAME_H_

#include <grpcpp/server_context.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace lossd::door {

// The metadata that names a flow (D91).
inline constexpr char kFlowKey[] = "lossd-flow";
// Addresses with ports, names of pods and paths of certificates fit.
inline constexpr size_t kMaxFlowNameBytes = 128;

struct NamedFlow {
  std::string name;   // empty if the call names none
  uint64_t flow = 0;  // the flow's number; equal names have equal numbers
};

// Returns the flow that the call's metadata names. The number is a hash of 64
// bits: names with equal ones would share one flow's turns and one flow's
// share. Errors: INVALID_ARGUMENT if there are several names, or if the name is
// empty, longer than kMaxFlowNameBytes, or not printable ASCII. Thread-safe.
absl::StatusOr<NamedFlow> NamedFlowOf(const grpc::ServerContext& context);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_FLOW_NAME_H_
