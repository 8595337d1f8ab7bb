#include "server/door/health_service.h"

#include <gtest/gtest.h>

#include <string>

namespace lossd::door {
namespace {

using Response = HealthService::Response;

grpc::Status Check(HealthService& health, const std::string& service,
                   Response& response) {
  HealthService::Request request;
  request.set_service(service);
  return health.Check(nullptr, &request, &response);
}

TEST(HealthService, AnswersForTheServerAndItsService) {
  HealthService health("a.Service");
  for (const char* service : {"", "a.Service"}) {
    Response response;
    ASSERT_TRUE(Check(health, service, response).ok());
    EXPECT_EQ(response.status(), Response::NOT_SERVING) << service;
    health.SetServing(true);
    ASSERT_TRUE(Check(health, service, response).ok());
    EXPECT_EQ(response.status(), Response::SERVING) << service;
    health.SetServing(false);
  }
}

TEST(HealthService, DoesNotKnowOtherServices) {
  HealthService health("a.Service");
  Response response;
  const grpc::Status status = Check(health, "a.Servic", response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(),
            "service: \"a.Servic\" is neither empty nor a.Service");
}

// The bytes are what any other client of the health protocol reads.
TEST(HealthService, AnswersInTheWireFormatOfGrpc) {
  HealthService health("a.Service");
  health.SetServing(true);
  Response response;
  ASSERT_TRUE(Check(health, "", response).ok());
  EXPECT_EQ(response.SerializeAsString(), "\x08\x01");
  EXPECT_EQ(grpc::health::v1::Health::service_full_name(),
            std::string("grpc.health.v1.Health"));
}

}  // namespace
}  // namespace lossd::door
