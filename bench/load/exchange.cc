#include "bench/load/exchange.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bench/load/sample_request.h"
#include "bench/peers/triton_messages.h"

namespace lossd::bench {
namespace {

constexpr char kComputeLoss[] = "/lossd.v1.LossService/ComputeLoss";

absl::Status CheckEcho(const std::string& request, const std::string& reply) {
  if (!reply.empty() && absl::StartsWith(request, reply)) {
    return absl::OkStatus();
  }
  return absl::InternalError("the reply is not the beginning of the request");
}

absl::Status CheckLogits(const v1::ComputeLossRequest& sample,
                         const std::string& reply) {
  v1::ComputeLossResponse response;
  if (response.ParseFromString(reply) &&
      response.gradient().SerializeAsString() ==
          sample.logits().SerializeAsString()) {
    return absl::OkStatus();
  }
  return absl::InternalError("the reply's gradient is not the logits");
}

absl::Status CheckTriton(const v1::ComputeLossRequest& sample,
                         const std::string& reply) {
  const absl::StatusOr<v1::ComputeLossResponse> response = FromTriton(reply);
  if (!response.ok()) return response.status();
  return CheckAnswer(sample, response->SerializeAsString());
}

}  // namespace

absl::StatusOr<Exchange> ExchangeWith(const std::string& peer,
                                      const v1::ComputeLossRequest& sample) {
  if (peer == "triton") {
    absl::StatusOr<std::string> request = TritonRequest(sample);
    if (!request.ok()) return request.status();
    return Exchange{kTritonMethod, *std::move(request), [&](const auto& reply) {
                      return CheckTriton(sample, reply);
                    }};
  }
  const std::string request = sample.SerializeAsString();
  if (peer.empty()) {
    return Exchange{kComputeLoss, request, [&](const auto& reply) {
                      return CheckAnswer(sample, reply);
                    }};
  }
  if (peer == "echo") {
    return Exchange{kComputeLoss, request, [request](const auto& reply) {
                      return CheckEcho(request, reply);
                    }};
  }
  if (peer == "protobuf_echo") {
    return Exchange{kComputeLoss, request, [&](const auto& reply) {
                      return CheckLogits(sample, reply);
                    }};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--peer: \"", peer, "\" is none of echo, protobuf_echo and triton"));
}

}  // namespace lossd::bench
