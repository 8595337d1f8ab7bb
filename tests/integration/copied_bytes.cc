#include "tests/integration/copied_bytes.h"

#include <atomic>
#include <cstddef>

namespace lossd {
namespace {

std::atomic<uint64_t> all_copied = 0;
thread_local uint64_t copied_here = 0;

void Count(size_t size) {
  all_copied.fetch_add(size, std::memory_order_relaxed);
  copied_here += size;
}

// CMakeLists.txt compiles this file so that these loops do not become calls of
// the functions that they define.
void Forward(char* to, const char* from, size_t size) {
  for (size_t i = 0; i < size; ++i) to[i] = from[i];
}

void Backward(char* to, const char* from, size_t size) {
  for (size_t i = size; i > 0; --i) to[i - 1] = from[i - 1];
}

void* Move(void* to, const void* from, size_t size) {
  Count(size);
  char* const out = static_cast<char*>(to);
  const char* const in = static_cast<const char*>(from);
  const bool overlaps = out > in && out < in + size;
  (overlaps ? Backward : Forward)(out, in, size);
  return to;
}

}  // namespace

CopiedBytes::CopiedBytes()
    : own_at_start_(copied_here), all_at_start_(all_copied) {}

uint64_t CopiedBytes::OnThisThread() const {
  return copied_here - own_at_start_;
}

uint64_t CopiedBytes::OnOtherThreads() const {
  return all_copied - all_at_start_ - OnThisThread();
}

}  // namespace lossd

extern "C" {

void* memcpy(void* to, const void* from, size_t size) {
  return lossd::Move(to, from, size);
}

void* memmove(void* to, const void* from, size_t size) {
  return lossd::Move(to, from, size);
}

void* mempcpy(void* to, const void* from, size_t size) {
  return static_cast<char*>(lossd::Move(to, from, size)) + size;
}

// The checked forms end the process if `room` is too small; a test that passes
// elsewhere never gets there.
void* __memcpy_chk(void* to, const void* from, size_t size, size_t room) {
  if (size > room) __builtin_trap();
  return lossd::Move(to, from, size);
}

void* __memmove_chk(void* to, const void* from, size_t size, size_t room) {
  if (size > room) __builtin_trap();
  return lossd::Move(to, from, size);
}

void* __mempcpy_chk(void* to, const void* from, size_t size, size_t room) {
  if (size > room) __builtin_trap();
  return static_cast<char*>(lossd::Move(to, from, size)) + size;
}

}  // extern "C"
