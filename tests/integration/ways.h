// The ways to ask for one loss: each method of the service.
#ifndef LOSSD_TESTS_INTEGRATION_WAYS_H_
#define LOSSD_TESTS_INTEGRATION_WAYS_H_

#include <grpcpp/grpcpp.h>

#include <vector>

#include "lossd/v1/loss_service.grpc.pb.h"

namespace lossd {

// Asks for the loss of a request by one of the service's methods. The failure
// of an entry is returned as the status that a call would have.
struct Way {
  const char* name;
  grpc::Status (*ask)(v1::LossService::Stub& stub,
                      const v1::ComputeLossRequest& request,
                      grpc::ClientContext* context);
};
extern const std::vector<Way> kWays;

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_WAYS_H_
