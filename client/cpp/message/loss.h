// A loss to compute, and its result.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_LOSS_H_
#define LOSSD_CLIENT_CPP_MESSAGE_LOSS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "client/cpp/tensor/received_tensor.h"
#include "client/cpp/tensor/shared_memory.h"
#include "client/cpp/tensor/tensor_view.h"
#include "lossd/v1/loss_service.pb.h"
#include "lossd/v1/loss_spec.pb.h"

namespace lossd::client {

// One loss to compute. The tensors are borrowed: they must not move or change
// until the call that sends them has returned (or called back).
struct LossRequest {
  v1::LossSpec spec = {};
  TensorView logits = {};
  Targets targets = {};
  std::optional<TensorView> weights = {};
  std::optional<TensorView> pos_weight = {};
  std::optional<TensorView> upstream_gradient = {};
  // If present, the server writes the gradient there, and the result has none.
  // It must begin at a multiple of 64 bytes of its region and overlap no
  // tensor.
  std::optional<SharedSpan> shared_gradient = {};
  // If present, the server writes the second derivative there. The demands on
  // the place are those on shared_gradient.
  std::optional<SharedSpan> shared_second_derivative = {};
};

// The answer. It owns its tensors.
struct LossResult {
  double loss = 0;
  // The divisor of the sum.
  double normalizer = 0;
  // The number of elements that were not ignored.
  int64_t valid_count = 0;
  int64_t nan_count = 0;
  std::string request_id;
  v1::Execution execution;
  // Present with REDUCTION_NONE and REDUCTION_ROWS.
  std::optional<ReceivedTensor> losses;
  // Absent with GRADIENT_MODE_OMIT, and with LossRequest::shared_gradient.
  std::optional<ReceivedTensor> gradient;
  // Present with SECOND_DERIVATIVE_MODE_RETURN, unless
  // LossRequest::shared_second_derivative has it.
  std::optional<ReceivedTensor> second_derivative;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_LOSS_H_
