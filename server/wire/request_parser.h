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

// Parses one request at a time and keeps its memory for the next one.
//
// A walk over the wire format notes where each tensor's `data` lies and copies
// all the rest, with empty `data` in its place, into a skeleton that the
// generated parser reads. Merging, oneofs, unknown fields and UTF-8 are
// therefore the generated parser's business. What the walk does not expect is
// flattened and given to the generated parser whole. Hence exactly what the
// generated parser accepts is accepted. Not thread-safe.
class RequestParser {  // D16
 public:
  RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // INVALID_ARGUMENT if the generated parser would not accept the buffer. What
  // Parse() yields is valid until the next Parse() or Clear(), the buffer
  // itself is not needed.
  absl::Status Parse(const grpc::ByteBuffer& buffer);

  // Lets go of the slices and of the message.
  void Clear();

  // Memory that a Clear() has left for the next request, beside the message's
  // first block.
  size_t kept_bytes() const;

  // Memory that the parsed message takes beside the buffer, to within a factor
  // of two: of a list of numbers far more than its bytes on the wire. 0 for
  // most requests, whose tensors are `data`.
  size_t decoded_bytes() const { return decoded_bytes_; }

  // The request; its tensors' `data` may be empty: see data().
  const v1::ComputeLossRequest& request() const { return *request_; }

  // The bytes of a tensor's `data`; empty if it has none.
  std::span<const kernels::Piece> data(Field field) const {
    return pieces_[field];
  }

 private:
  bool Walk();
  bool ParseFlat();
  void ForgetReplacedData();
  size_t MeasureDecoded() const;

  // Holds the message; most requests fit the first block and allocate nothing.
  static constexpr size_t kFirstBlockBytes = 4096;
  std::vector<char> first_block_;
  google::protobuf::Arena arena_;
  v1::ComputeLossRequest* request_ = nullptr;
  size_t decoded_bytes_ = 0;
  bool clear_ = false;  // since the last Parse()

  std::vector<grpc::Slice> slices_;
  std::string skeleton_;
  std::string tensor_skeleton_;
  PerField<std::vector<kernels::Piece>> pieces_;
};

}  // namespace lossd::wire

#endif  // LOSSD_SERVER_WIRE_REQUEST_PARSER_H_
