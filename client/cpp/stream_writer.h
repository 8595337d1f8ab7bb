#ifndef LOSSD_CLIENT_CPP_STREAM_WRITER_H_
#define LOSSD_CLIENT_CPP_STREAM_WRITER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "client/cpp/loan.h"
#include "client/cpp/loss.h"
#include "grpcpp/support/byte_buffer.h"

namespace lossd::client {

// Elements of a chunk: those of the server's window, so that it can begin with
// each message.
inline constexpr int64_t kChunkElements = int64_t{1} << 17;

// The bytes of the tensors that a request sends: those in shared memory are
// named only.
int64_t SentBytes(const LossRequest& request);

// The elements of a shape; nothing if it makes no sense.
std::optional<int64_t> ElementCount(const Shape& shape);

// Bytes that `count` elements take.
int64_t BytesOf(v1::DataType dtype, int64_t count);

// The messages of the stream that asks what a request asks. Tensors of the
// logits' shape come in chunks, lent by `loan`; the rest, broadcast weights and
// targets by their ones, in the header, copied. What is wrong with them is the
// server's to say. Request and loan are borrowed.
class StreamWriter {
 public:
  StreamWriter(const LossRequest& request, const std::string& request_id,
               Loan& loan);

  // The next message; the first is the header. Nothing: that was all.
  std::optional<grpc::ByteBuffer> Next();

 private:
  static constexpr int kTensors = 5;  // as the fields of a chunk
  grpc::ByteBuffer Header();
  grpc::ByteBuffer Chunk(int64_t from, int64_t to);

  const LossRequest& request_;
  const std::string request_id_;
  Loan& loan_;
  std::array<const TensorView*, kTensors> in_chunks_{};
  int64_t elements_ = 0;
  int64_t next_ = -1;  // element; -1: the header
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_STREAM_WRITER_H_
