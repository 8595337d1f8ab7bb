#include "bench/load/exchange.h"

#include <gtest/gtest.h>

#include <string>

#include "bench/load/sample_request.h"
#include "bench/peers/triton_messages.h"

namespace lossd::bench {
namespace {

v1::ComputeLossRequest Sample() { return *MakeSample({.elements = 8}); }

// Returns the reply of a server that sends the logits back as the gradient.
std::string LogitsReply(const v1::ComputeLossRequest& sample) {
  v1::ComputeLossResponse response;
  *response.mutable_gradient() = sample.logits();
  return response.SerializeAsString();
}

TEST(ExchangeTest, LossdAndTheEchoesGetTheSameRequestBytes) {
  const v1::ComputeLossRequest sample = Sample();
  for (const char* peer : {"", "echo", "protobuf_echo"}) {
    const auto exchange = ExchangeWith(peer, sample);
    ASSERT_TRUE(exchange.ok()) << exchange.status();
    EXPECT_EQ(exchange->method, "/lossd.v1.LossService/ComputeLoss");
    EXPECT_EQ(exchange->request, sample.SerializeAsString());
  }
}

TEST(ExchangeTest, EachPeersAnswerIsRightForThatPeerAlone) {
  const v1::ComputeLossRequest sample = Sample();
  const std::string request = sample.SerializeAsString();
  const auto ours = *ExchangeWith("", sample);
  const auto echo = *ExchangeWith("echo", sample);
  const auto protobuf_echo = *ExchangeWith("protobuf_echo", sample);
  EXPECT_TRUE(echo.check(request).ok());
  EXPECT_TRUE(echo.check(request.substr(0, 20)).ok());
  EXPECT_FALSE(echo.check("").ok());
  EXPECT_FALSE(echo.check(LogitsReply(sample)).ok());
  EXPECT_TRUE(protobuf_echo.check(LogitsReply(sample)).ok());
  EXPECT_FALSE(protobuf_echo.check(request).ok());
  EXPECT_FALSE(ours.check(LogitsReply(sample)).ok());
  EXPECT_FALSE(ours.check(request).ok());
}

TEST(ExchangeTest, TritonIsAskedByItsOwnProtocolAndJudgedByTheFormula) {
  const v1::ComputeLossRequest sample = *MakeSample({.elements = 1});
  const auto exchange = *ExchangeWith("triton", sample);
  EXPECT_EQ(exchange.method, kTritonMethod);
  EXPECT_EQ(exchange.request, *TritonRequest(sample));
  // No finite logit has a loss of 0 and a gradient of 0.
  const std::string zeros(
      "\x2a\x06\x0a\x04LOSS\x2a\x0a\x0a\x08GRADIENT\x32\x04\0\0\0\0\x32\x04\0\0"
      "\0\0",
      32);
  EXPECT_EQ(exchange.check(zeros).message().substr(0, 11), "gradient[0]");
}

TEST(ExchangeTest, EveryPeerThatAShellOffersIsKnown) {
  const v1::ComputeLossRequest sample = Sample();
  for (const char* peer : kPeers) {
    EXPECT_TRUE(ExchangeWith(peer, sample).ok()) << peer;
  }
}

TEST(ExchangeTest, AnUnknownPeerIsNamedInTheError) {
  EXPECT_EQ(ExchangeWith("nobody", Sample()).status().message(),
            "--peer: \"nobody\" is none of echo, protobuf_echo and triton");
}

}  // namespace
}  // namespace lossd::bench
