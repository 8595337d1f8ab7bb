#ifndef LOSSD_CLIENT_CPP_LOAN_H_
#define LOSSD_CLIENT_CPP_LOAN_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/support/slice.h"

namespace lossd::client {

// Memory of the caller, lent to gRPC as slices, and word of its return.
//
// A call that failed may be over while the transport still writes from its
// message: the status alone does not say that the caller's memory is free. The
// loan does: every slice counts until gRPC has dropped its last reference.
//
// Thread-safe. Slices keep their loan alive.
class Loan : public std::enable_shared_from_this<Loan> {
 public:
  static std::shared_ptr<Loan> Make() { return std::make_shared<Loan>(); }

  // A slice over `bytes`, which are not copied. Not after ReturnedOrElse.
  grpc::Slice Lend(std::span<const std::byte> bytes);

  // True: nothing is lent, and `returned` never runs. False: it runs once, when
  // the last slice is dropped, on a thread of gRPC's; it must not block.
  bool ReturnedOrElse(std::function<void()> returned);

 private:
  static void OnSliceDropped(void* loan);

  absl::Mutex mu_;
  int outstanding_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> returned_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_LOAN_H_
