// Reads a fuzzer's input: a message, and the places where the network has cut
// it.
#ifndef LOSSD_TESTS_FUZZ_INPUT_H_
#define LOSSD_TESTS_FUZZ_INPUT_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lossd::fuzz {

// The first byte has the number of cuts in its low four bits. Bit 4 asks for
// slices that hold their bytes themselves, which is how gRPC makes short
// slices. A cut is two bytes, little-endian, modulo the message's size plus
// one; equal cuts make an empty slice. The rest is the message. Every string of
// bytes is an input. Borrows the bytes.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes);

  std::string_view message() const { return message_; }

  // Returns the bytes before the message.
  std::span<const uint8_t> head() const { return head_; }

  // Returns the message in slices. Each has memory of exactly its size, so that
  // the address sanitizer sees a read beyond it.
  grpc::ByteBuffer Buffer() const;

 private:
  std::span<const uint8_t> head_;
  std::string_view message_;
  std::vector<size_t> cuts_;  // in rising order, with both ends of the message
};

// Ends the program as a finding. `what` says in one line what is wrong.
[[noreturn]] void Fail(std::string_view what);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_INPUT_H_
