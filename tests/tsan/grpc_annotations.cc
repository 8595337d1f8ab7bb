// Tells the thread sanitizer what gRPC orders between threads.
//
// The distribution's gRPC is not compiled with the sanitizer, which therefore
// does not see two orders: writes before an operation is started come before
// its tag is taken from the completion queue, and writes before a slice is made
// come before it is destroyed. Like those in absl_annotations.cc, the functions
// below replace the library's own and call them. The calls come from gRPC's C++
// library.
//
// The sanitizer does not see either that gRPC reads the slices that it sends.
// So a slice of ours counts as read when gRPC lets go of it, and a write to it
// between the moment it was lent and the notice of its return is reported.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpcpp/alarm.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

// A function of the sanitizer that none of its headers declares. It says that
// `size` bytes are read here.
extern "C" void __tsan_read_range(void* data, size_t size);

namespace {

// Returns the library's function `name`, which has the type of `mine`.
template <class Function>
Function* LibraryOwn(const char* name, Function* /*mine*/) {
  void* own = dlsym(RTLD_NEXT, name);
  if (own == nullptr) {
    std::fprintf(stderr, "grpc_annotations: no %s in a shared gRPC\n", name);
    std::abort();
  }
  return reinterpret_cast<Function*>(own);
}

// A slice's memory and the function that frees it.
struct Lent {
  void* data;
  size_t size;
  void (*destroy)(void*);
  void* user_data;
};

void Destroy(void* lent) {
  __tsan_acquire(lent);
  const Lent slice = *static_cast<Lent*>(lent);
  __tsan_read_range(slice.data, slice.size);
  delete static_cast<Lent*>(lent);
  slice.destroy(slice.user_data);
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops,
                                      size_t op_count, void* tag,
                                      void* reserved) {
  static const auto own =
      LibraryOwn("grpc_call_start_batch", &grpc_call_start_batch);
  __tsan_release(tag);
  return own(call, ops, op_count, tag, reserved);
}

grpc_call_error grpc_server_request_registered_call(
    grpc_server* server, void* method, grpc_call** call, gpr_timespec* deadline,
    grpc_metadata_array* metadata, grpc_byte_buffer** payload,
    grpc_completion_queue* bound, grpc_completion_queue* notification,
    void* tag) {
  static const auto own = LibraryOwn("grpc_server_request_registered_call",
                                     &grpc_server_request_registered_call);
  __tsan_release(tag);
  return own(server, method, call, deadline, metadata, payload, bound,
             notification, tag);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue,
                                      gpr_timespec deadline, void* reserved) {
  static const auto own =
      LibraryOwn("grpc_completion_queue_next", &grpc_completion_queue_next);
  const grpc_event event = own(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static const auto own =
      LibraryOwn("grpc_completion_queue_pluck", &grpc_completion_queue_pluck);
  const grpc_event event = own(queue, tag, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(tag);
  return event;
}

grpc_slice grpc_slice_new_with_user_data(void* data, size_t size,
                                         void (*destroy)(void*),
                                         void* user_data) {
  static const auto own = LibraryOwn("grpc_slice_new_with_user_data",
                                     &grpc_slice_new_with_user_data);
  auto* const lent = new Lent{data, size, destroy, user_data};
  __tsan_release(lent);
  return own(data, size, &Destroy, lent);
}

}  // extern "C"

namespace grpc {

// An alarm's event comes out of the queue with the address of `alarm_`. Without
// this function, a stream's window, which an executor hands back by an alarm,
// is reported whenever gRPC passes the event on without taking a lock.
void Alarm::SetInternal(CompletionQueue* queue, gpr_timespec deadline,
                        void* tag) {
  using Own = void (*)(Alarm*, CompletionQueue*, gpr_timespec, void*);
  static const auto own = reinterpret_cast<Own>(dlsym(
      RTLD_NEXT,
      "_ZN4grpc5Alarm11SetInternalEPNS_15CompletionQueueE12gpr_timespecPv"));
  if (own == nullptr) {
    std::fputs("grpc_annotations: no Alarm in a shared gRPC\n", stderr);
    std::abort();
  }
  __tsan_release(alarm_);
  own(this, queue, deadline, tag);
}

}  // namespace grpc
