// Reads a ComputeLossRequest off the wire without touching the tensors' bytes.
#ifndef LOSSD_SERVER_WIRE_REQUEST_PARSER_H_
#define LOSSD_SERVER_WIRE_REQUEST_PARSER_H_

#include <google/protobuf/arena.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/loss_service.pb.h"
#include "server/wire/field.h"

namespace lossd::wire {

// Parses one request at a time and keeps its memory for the next one (D16).
//
// A walk over the wire format notes where each tensor's `data` lies. It copies
// everything else, with an empty `data`, into a skeleton, which the generated
// parser reads. Merging, oneofs, unknown fields and UTF-8 are therefore the
// generated parser's business. A message that the walk does not expect is
// copied into one string and given to the generated parser whole. Hence the
// requests that are accepted are exactly those that the generated parser
// accepts. Not thread-safe.
class RequestParser {
 public:
  RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Errors: INVALID_ARGUMENT if the generated parser would not accept the
  // buffer. The results below are valid until the next Parse() or Clear(); the
  // buffer is not needed any more.
  absl::Status Parse(const grpc::ByteBuffer& buffer);
  // Parses a request whose bytes are those of the slices together.
  absl::Status Parse(std::vector<grpc::Slice> slices);

  // Releases the slices and the message.
  void Clear();

  // Returns the bytes of memory that Clear() has kept for the next request,
  // without the message's first block.
  size_t kept_bytes() const;

  // Returns the bytes of memory that the parsed message takes in addition to
  // the buffer, to within a factor of two. A list of numbers takes far more
  // than its bytes on the wire. Most requests, whose tensors are `data`, take
  // 0.
  size_t decoded_bytes() const { return decoded_bytes_; }

  // Returns the request. Its tensors' `data` may be empty: see data().
  const v1::ComputeLossRequest& request() const { return *request_; }

  // Returns the places of a tensor's `data`; none if it has no `data`.
  std::span<const kernels::Piece> data(Field field) const {
    return pieces_[field];
  }

 private:
  absl::Status ParseSlices();
  bool Walk();
  bool ParseFlat();
  void ForgetReplacedData();
  size_t MeasureDecoded() const;

  // The block holds the message. Most requests fit it and allocate nothing.
  static constexpr size_t kFirstBlockBytes = 4096;
  std::vector<char> first_block_;
  google::protobuf::Arena arena_;
  v1::ComputeLossRequest* request_ = nullptr;
  size_t decoded_bytes_ = 0;
  bool clear_ = false;  // true from Clear() to the next Parse()

  std::vector<grpc::Slice> slices_;
  std::string skeleton_;
  std::string tensor_skeleton_;
  PerField<std::vector<kernels::Piece>> pieces_;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_REQUEST_PARSER_H_
