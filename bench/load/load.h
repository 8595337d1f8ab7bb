#ifndef LOSSD_BENCH_LOAD_LOAD_H_
#define LOSSD_BENCH_LOAD_LOAD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bench/load/latency_histogram.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/byte_buffer.h"

namespace lossd::bench {

struct LoadOptions {
  // Calls take turns on them.
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::string method = "/lossd.v1.LossService/ComputeLoss";
  // Taken in turns by the places that a call in flight can have: a place always
  // sends the same one.
  std::vector<grpc::ByteBuffer> messages;
  // Each with a completion queue.
  int threads = 1;
  // Calls in flight. Closed loop: always that many. Open loop: at most;
  // arrivals beyond it wait, and their latency counts from when they should
  // have started.
  int concurrency = 1;
  // Arrivals per second; 0: closed loop, a call starts when one ends.
  double rate = 0;
  // Calls start for this long, at most `requests` of them (0: any number).
  absl::Duration duration = absl::Seconds(5);
  int64_t requests = 0;
  // Of each call.
  absl::Duration timeout = absl::Seconds(30);
  // Of the arrival times.
  uint64_t seed = 1;
};

struct LoadReport {
  // Of the calls that succeeded; in an open loop from the intended start.
  LatencyHistogram latency;
  int64_t succeeded = 0;
  // By status code's name.
  std::map<std::string, int64_t> errors;
  // Of one reply.
  int64_t reply_bytes = 0;
  // From the first start to the last end.
  absl::Duration elapsed;
};

// Puts the load on a server and measures. Returns when every call is over.
LoadReport RunLoad(const LoadOptions& options);

// One call, outside of any measurement, of the first message; the reply's
// bytes.
absl::StatusOr<std::string> CallOnce(const LoadOptions& options);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_LOAD_H_
