// Ends the program with a line when no memory is left, in place of a signal.
//
// The C++ library and gRPC have no answer to a failed malloc(): the one ends
// the program without a word, the other writes through the null pointer. So the
// program has a malloc() of its own in front of the C library's. Allocations
// whose failure has an answer (BufferPool, mmap) do not go through it.
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

// The C library's own malloc() has a name that is reserved for it.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" void* __libc_malloc(size_t size) noexcept;

extern "C" void* malloc(size_t size) noexcept {
  void* memory = __libc_malloc(size);
  if (memory == nullptr && size > 0) [[unlikely]] {
    constexpr char kLine[] =
        "lossd: no memory left: the process reached its limit (container, "
        "RLIMIT_AS or RLIMIT_DATA); lower --max_inflight_bytes or raise it\n";
    static_cast<void>(!write(STDERR_FILENO, kLine, sizeof kLine - 1));
    _exit(1);
  }
  return memory;
}
