#include "server/batching/deficit.h"

#include <algorithm>
#include <cassert>

#include "kernels/sigmoid_loss.h"

namespace lossd::batching {
namespace {

constexpr uint64_t kBlock = kernels::kBlockElements;

}  // namespace

int64_t ChargeOf(uint64_t element_count) {
  const uint64_t blocks =
      element_count / kBlock + (element_count % kBlock != 0);
  return static_cast<int64_t>(std::max<uint64_t>(blocks, 1) * kBlock);
}

uint64_t RoundOfTurn(const Savings& savings, int64_t charge, int64_t quantum) {
  const int64_t missing = charge - savings.elements;
  if (missing <= 0) return savings.round;
  return savings.round +
         static_cast<uint64_t>(missing / quantum + (missing % quantum != 0));
}

Savings AfterPaying(const Savings& savings, uint64_t round, int64_t charge,
                    int64_t next_charge, int64_t quantum) {
  const auto rounds = static_cast<int64_t>(round - savings.round);
  const int64_t left = savings.elements + rounds * quantum - charge;
  assert(left >= 0);
  return {.elements = std::min(left, std::max(quantum, next_charge)),
          .round = round};
}

}  // namespace lossd::batching
