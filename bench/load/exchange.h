// The messages of a call to a server under load.
#ifndef LOSSD_BENCH_LOAD_EXCHANGE_H_
#define LOSSD_BENCH_LOAD_EXCHANGE_H_

#include <array>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

// A request to the server under load, and a check of its reply.
struct Exchange {
  std::string method;
  std::string request;
  std::function<absl::Status(const std::string& reply)> check;
};

// The peers that a load may be put on in place of lossd.
inline constexpr std::array kPeers = {"echo", "protobuf_echo", "triton"};

// Returns the request that asks lossd (`peer` is empty), or a peer in its
// place, to compute `sample`:
//   echo            the same bytes, answered by their beginning
//   protobuf_echo   the same bytes, answered with the logits as the gradient
//   triton          the message of triton_messages.h
// `sample` is borrowed. INVALID_ARGUMENT for another name.
absl::StatusOr<Exchange> ExchangeWith(const std::string& peer,
                                      const v1::ComputeLossRequest& sample);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_EXCHANGE_H_
