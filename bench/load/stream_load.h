// A load of StreamLoss calls on a server.
#ifndef LOSSD_BENCH_LOAD_STREAM_LOAD_H_
#define LOSSD_BENCH_LOAD_STREAM_LOAD_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "bench/load/load.h"
#include "bench/load/sample_request.h"

namespace lossd::bench {

// The messages of one StreamLoss. One chunk is sent over and over, so that any
// number of elements takes the memory of one chunk.
struct StreamMessages {
  grpc::ByteBuffer header;
  grpc::ByteBuffer chunk;
  int64_t chunks = 0;
  grpc::ByteBuffer last;  // shorter; sent after the chunks if not empty
  int64_t elements = 0;
  int64_t request_bytes = 0;
  int64_t gradient_bytes = 0;
};

// Returns the messages. INVALID_ARGUMENT for an unknown dtype.
absl::StatusOr<StreamMessages> MakeStream(const SampleOptions& options);

// Puts a closed loop of streams on a server, with a thread for each call in
// flight, and measures. The options `messages`, `method`, `threads` and `rate`
// are not read. A reply of the wrong size is an error named "WRONG_REPLY".
LoadReport RunStreamLoad(const LoadOptions& options,
                         const StreamMessages& messages);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_STREAM_LOAD_H_
