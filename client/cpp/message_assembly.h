#ifndef LOSSD_CLIENT_CPP_MESSAGE_ASSEMBLY_H_
#define LOSSD_CLIENT_CPP_MESSAGE_ASSEMBLY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/cpp/loan.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace lossd::client {

// Collects small pieces in one string and large ones as lent slices, in order.
class MessageAssembly {
 public:
  explicit MessageAssembly(Loan& loan) : loan_(loan) {}

  std::string& small() { return small_; }

  // Tag and length of a length-delimited field; its bytes follow. All tags of
  // these messages are one byte: their numbers are below 16.
  void OpenField(int number, size_t length);

  // The bytes of the field that was opened last.
  void PutPayload(std::span<const std::byte> bytes);

  grpc::ByteBuffer Finish();

 private:
  // Base 128, least significant group first, as protobuf has it.
  void PutVarint(uint64_t value);

  // A lent slice comes next: what was collected so far is a slice of its own.
  void CloseSmall();

  Loan& loan_;
  std::string small_;
  std::vector<grpc::Slice> slices_;
};

// Bytes that a varint takes.
size_t VarintSize(uint64_t value);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_ASSEMBLY_H_
