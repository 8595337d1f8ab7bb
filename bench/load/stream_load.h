#ifndef LOSSD_BENCH_LOAD_STREAM_LOAD_H_
#define LOSSD_BENCH_LOAD_STREAM_LOAD_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "bench/load/load.h"
#include "bench/load/sample_request.h"
#include "grpcpp/support/byte_buffer.h"

namespace lossd::bench {

// The messages of one StreamLoss, made once: however many elements it has, the
// same chunk is sent over and over, so that the client needs no memory for
// them.
struct StreamMessages {
  grpc::ByteBuffer header;
  grpc::ByteBuffer chunk;
  int64_t chunks = 0;
  grpc::ByteBuffer last;  // shorter; sent after them if it has any bytes
  int64_t elements = 0;
  int64_t request_bytes = 0;
  int64_t gradient_bytes = 0;
};
absl::StatusOr<StreamMessages> MakeStream(const SampleOptions& options);

// As RunLoad() in a closed loop, a thread for each of the calls in flight; of
// the options `request`, `method`, `threads` and `rate` are not read. A reply
// of the wrong size is an error named "WRONG_REPLY".
LoadReport RunStreamLoad(const LoadOptions& options,
                         const StreamMessages& messages);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_STREAM_LOAD_H_
