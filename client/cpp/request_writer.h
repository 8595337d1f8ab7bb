#ifndef LOSSD_CLIENT_CPP_REQUEST_WRITER_H_
#define LOSSD_CLIENT_CPP_REQUEST_WRITER_H_

#include <string>

#include "client/cpp/loan.h"
#include "client/cpp/loss.h"
#include "grpcpp/support/byte_buffer.h"

namespace lossd::client {

// Payloads up to this many bytes are copied into the message: the copy costs
// less than a slice of its own.
inline constexpr size_t kLargestCopiedPayload = 4096;

// The bytes that the generated code would write for this request, field for
// field; larger payloads are lent by `loan` instead of copied.
grpc::ByteBuffer WriteRequest(const LossRequest& request,
                              const std::string& request_id, Loan& loan);

// Targets by where their ones are, as a message; not of a TensorView.
v1::Tensor OnesMessage(const Targets& targets);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_REQUEST_WRITER_H_
