// A load of requests in sessions on a server.
#ifndef LOSSD_BENCH_LOAD_SESSION_LOAD_H_
#define LOSSD_BENCH_LOAD_SESSION_LOAD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/load/load.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

// Puts a closed loop of requests on the server at `target`, in one session for
// each of `sessions` connections, and measures. The places that a request in
// flight can have take turns on the sessions and on `requests`, which say where
// the tensors lie. The callback of an answer starts the next request. Only
// `concurrency`, `duration`, `requests`, `timeout` and `job` of the options are
// read.
// The report's reply_bytes are those of a gradient.
// Errors: those of Client::Create().
absl::StatusOr<LoadReport> RunSessionLoad(
    const LoadOptions& options, const std::string& target, int sessions,
    const std::vector<v1::ComputeLossRequest>& requests);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_SESSION_LOAD_H_
