// A load of unary calls on a server.
#ifndef LOSSD_BENCH_LOAD_LOAD_H_
#define LOSSD_BENCH_LOAD_LOAD_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bench/load/latency_histogram.h"

namespace lossd::bench {

struct LoadOptions {
  // Calls take turns on these.
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::string method = "/lossd.v1.LossService/ComputeLoss";
  // The places that a call in flight can have take turns on these; a place
  // always sends the same message.
  std::vector<grpc::ByteBuffer> messages;
  // Threads, each with a completion queue.
  int threads = 1;
  // Calls in flight: in a closed loop always, in an open loop at most.
  // Arrivals beyond it wait, and their latency and timeout count from when they
  // should have started. One that has waited for half of its timeout is not
  // sent.
  int concurrency = 1;
  // Arrivals per second. 0 is a closed loop: a call starts when one ends.
  double rate = 0;
  // Calls start for this long, at most `requests` of them; 0 sets no limit.
  absl::Duration duration = absl::Seconds(5);
  int64_t requests = 0;
  // The longest time of each call, from when it should have started.
  absl::Duration timeout = absl::Seconds(30);
  // The metadata traceparent of each call; empty sends none.
  std::string traceparent;
  // The training job that calls name; empty for none.
  std::string job;
  // The seed of the arrival times.
  uint64_t seed = 1;
};

// Names the load's job in the metadata of a call.
inline void NameJob(const LoadOptions& options, grpc::ClientContext& context) {
  if (!options.job.empty()) context.AddMetadata("lossd-job", options.job);
}

struct LoadReport {
  // The latencies of the calls that succeeded; in an open loop they count from
  // the intended start.
  LatencyHistogram latency;
  int64_t succeeded = 0;
  // How many of them had a latency of at most LoadOptions::timeout.
  int64_t in_time = 0;
  // In an open loop, the arrivals that this program was too slow to send or had
  // no place for.
  int64_t unsent = 0;
  // The number of failed calls by the status code's name.
  std::map<std::string, int64_t> errors;
  // The size of one reply.
  int64_t reply_bytes = 0;
  // The time from the first start to the last end.
  absl::Duration elapsed;
};

// Puts the load on a server, measures, and returns when every call is over.
LoadReport RunLoad(const LoadOptions& options);

// Makes one call with the first message, outside of any measurement, and
// returns the reply's bytes or the call's error.
absl::StatusOr<std::string> CallOnce(const LoadOptions& options);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_LOAD_H_
