// Counts the bytes that this process copies.
//
// The program that links this replaces memcpy, memmove, mempcpy and their
// checked forms for itself and for every shared library that it loads. A copy
// of a tensor is a call of one of them: the compiler expands only copies of a
// small constant size, and turns loops that copy into calls. Copies by the
// kernel of the operating system, which sockets need, are not counted.
#ifndef LOSSD_TESTS_INTEGRATION_COPIED_BYTES_H_
#define LOSSD_TESTS_INTEGRATION_COPIED_BYTES_H_

#include <cstdint>

namespace lossd {

// The bytes that were copied while a CopiedBytes lives. Thread-safe, but
// OnThisThread() belongs to the thread that made it.
class CopiedBytes {
 public:
  CopiedBytes();

  uint64_t OnThisThread() const;
  uint64_t OnOtherThreads() const;

 private:
  const uint64_t own_at_start_;
  const uint64_t all_at_start_;
};

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_COPIED_BYTES_H_
