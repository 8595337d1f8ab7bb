#include "server/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace lossd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(UnknownVariables, AreThoseThatLookLikeFlagsAndAreNone) {
  EXPECT_THAT(UnknownVariables({"HOME", "LOSSD_LISTEN", "LOSSD_FLAGFILE",
                                "LOSSD_MAXMESSAGE", "LOSSDX", "LOSSD_listen"}),
              ElementsAre("LOSSD_MAXMESSAGE", "LOSSD_listen"));
}

// These are the names in Kubernetes' documentation of service links, for a
// service called lossd with named ports.
TEST(UnknownVariables, AreNotThoseOfAKubernetesService) {
  EXPECT_THAT(UnknownVariables(
                  {"LOSSD_SERVICE_HOST", "LOSSD_SERVICE_PORT",
                   "LOSSD_SERVICE_PORT_GRPC", "LOSSD_SERVICE_PORT_METRICS_2",
                   "LOSSD_PORT", "LOSSD_PORT_50051_TCP",
                   "LOSSD_PORT_50051_TCP_PROTO", "LOSSD_PORT_50051_TCP_PORT",
                   "LOSSD_PORT_50051_TCP_ADDR", "LOSSD_PORT_53_UDP"}),
              IsEmpty());
  EXPECT_THAT(UnknownVariables({"LOSSD_PORTS", "LOSSD_SERVICE",
                                "LOSSD_PORT_50051", "LOSSD_SERVICE_HOSTS"}),
              ElementsAre("LOSSD_PORTS", "LOSSD_SERVICE", "LOSSD_PORT_50051",
                          "LOSSD_SERVICE_HOSTS"));
}

TEST(VariableNames, AreThoseOfTheProcess) {
  ASSERT_EQ(setenv("LOSSD_TEST_OF_NAMES", "a=b", /*replace=*/1), 0);
  EXPECT_THAT(VariableNames(), testing::Contains("LOSSD_TEST_OF_NAMES"));
  unsetenv("LOSSD_TEST_OF_NAMES");
}

}  // namespace
}  // namespace lossd
