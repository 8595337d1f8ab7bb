// Writes the messages of StreamLoss.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_STREAM_WRITER_H_
#define LOSSD_CLIENT_CPP_MESSAGE_STREAM_WRITER_H_

#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "client/cpp/message/loss.h"
#include "client/cpp/message/slice_tracker.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

// The elements of a chunk. They are as many as the server computes at a time,
// so that it can begin with each message.
inline constexpr int64_t kChunkElements = int64_t{1} << 17;

// Returns true if a tensor of the request, or a place for a result, lies in
// shared memory.
bool NamesSharedMemory(const LossRequest& request);
bool NamesSharedMemory(const v1::ComputeLossRequest& request);

// Returns the bytes of the tensors that a request sends; tensors in shared
// memory are only named.
int64_t SentBytes(const LossRequest& request);

// Returns whether StreamLoss takes the request: it refuses rows whose divisors
// are counted (StreamLoss in loss_service.proto).
bool StreamTakes(const LossRequest& request);

// Returns the number of elements of a shape, or nothing if a dimension is
// negative or the number exceeds 2^60.
std::optional<int64_t> ElementCount(const Shape& shape);

// Returns the bytes that `count` elements take.
int64_t BytesOf(v1::DataType dtype, int64_t count);

// Writes a request as the messages of a stream. Tensors of the logits' shape go
// into chunks as slices of `tracker`; the others, which are broadcast weights
// and targets given by their ones, are copied into the header. The server
// checks all of them. Request and tracker are borrowed. Not thread-safe.
class StreamWriter {
 public:
  StreamWriter(const LossRequest& request, const std::string& request_id,
               SliceTracker& tracker);

  // Returns the next message, first the header, or nothing after the last.
  std::optional<grpc::ByteBuffer> Next();

 private:
  static constexpr int kTensors = 5;  // the fields of a chunk
  grpc::ByteBuffer Header();
  grpc::ByteBuffer Chunk(int64_t from, int64_t to);

  const LossRequest& request_;
  const std::string request_id_;
  SliceTracker& tracker_;
  std::array<const TensorView*, kTensors> in_chunks_{};
  int64_t elements_ = 0;
  int64_t next_ = -1;  // the next element, or -1 before the header
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_STREAM_WRITER_H_
