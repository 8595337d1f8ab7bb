// A fuzzer's input: a message, and where the network has cut it.
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

// The first byte has the number of cuts in its low four bits; bit 4 asks for
// slices that hold their bytes themselves, as gRPC makes them of short ones. A
// cut is two bytes, little-endian, modulo the message's size plus one: equal
// cuts make an empty slice. The rest is the message. Every string of bytes is
// an input. Borrows the bytes.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes);

  std::string_view message() const { return message_; }

  // All before the message.
  std::span<const uint8_t> head() const { return head_; }

  // Slices with memory of exactly their size each, so that the address
  // sanitizer sees a read beyond one.
  grpc::ByteBuffer Buffer() const;

 private:
  std::span<const uint8_t> head_;
  std::string_view message_;
  std::vector<size_t> cuts_;  // rising, with both ends
};

// Ends the program, as a finding. In one line: what is wrong.
[[noreturn]] void Fail(std::string_view what);

}  // namespace lossd::fuzz

#endif  // LOSSD_TESTS_FUZZ_INPUT_H_
