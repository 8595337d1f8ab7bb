// Holds the counts of one thread.
#ifndef LOSSD_SERVER_OBSERVABILITY_SHARD_H_
#define LOSSD_SERVER_OBSERVABILITY_SHARD_H_

#include <array>
#include <cstddef>

#include "element_type/element_type.h"
#include "kernels/sigmoid_loss.h"
#include "server/observability/cells.h"

namespace lossd::observability {

inline constexpr size_t kMethods = 5;       // of enum Method
inline constexpr size_t kStatusCodes = 17;  // OK to UNAUTHENTICATED
inline constexpr size_t kLossKindCount = kernels::kLossKindCount;

// One thread's counts. A shard is allocated by itself and aligned, so that no
// two threads write to one cache line.
struct alignas(64) Shard {
  std::array<Cell, kMethods> accepted;
  std::array<std::array<Cell, kStatusCodes>, kMethods> finished;
  std::array<Histogram<kSeconds>, kMethods> request_seconds;
  ByLabel<Cell> rejected;

  Cell received_bytes;
  Cell sent_bytes;
  std::array<std::array<Cell, kElementTypes.size()>, kLossKindCount> elements;
  Cell nan_logits;

  Histogram<kBatchRequests> batch_requests;
  Histogram<kBatchElements> batch_elements;
  Histogram<kSeconds> queue_seconds;
  ByLabel<Histogram<kSeconds>> compute_seconds;
  ByLabel<Cell> device_errors;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_SHARD_H_
