#include "client/cpp/loan.h"

#include <utility>

namespace lossd::client {

grpc::Slice Loan::Lend(std::span<const std::byte> bytes) {
  {
    absl::MutexLock lock(&mu_);
    ++outstanding_;
  }
  // gRPC only reads what is sent; its slices are not const because they can
  // also receive.
  void* memory = const_cast<std::byte*>(bytes.data());
  auto* self = new std::shared_ptr<Loan>(shared_from_this());
  return grpc::Slice(memory, bytes.size(), &Loan::OnSliceDropped, self);
}

void Loan::OnSliceDropped(void* loan) {
  std::unique_ptr<std::shared_ptr<Loan>> self(
      static_cast<std::shared_ptr<Loan>*>(loan));
  std::function<void()> returned;
  {
    absl::MutexLock lock(&(*self)->mu_);
    if (--(*self)->outstanding_ == 0) returned = std::move((*self)->returned_);
  }
  if (returned) returned();
}

bool Loan::ReturnedOrElse(std::function<void()> returned) {
  absl::MutexLock lock(&mu_);
  if (outstanding_ == 0) return true;
  returned_ = std::move(returned);
  return false;
}

}  // namespace lossd::client
