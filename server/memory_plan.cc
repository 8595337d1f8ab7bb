#include "server/memory_plan.h"

#include <algorithm>
#include <limits>

namespace lossd {
namespace {

constexpr int64_t kMebi = int64_t{1} << 20;

constexpr int64_t kLeastUsable = 128 * kMebi;
// Code, stacks, connections, metrics, and the heap's holes.
constexpr int64_t kOwnBytes = 56 * kMebi;
// A machine of this size has all that the defaults ask for.
constexpr int64_t kMostUsable = int64_t{1} << 40;

constexpr int64_t kMostInflightBytes = int64_t{1} << 30;
constexpr int64_t kMostInflightRequests = 4096;
constexpr int64_t kMostMessageBytes = 256 * kMebi;

// HTTP/2 lets a client send this much on each stream until it has heard of the
// server's own, smaller window.
constexpr int64_t kWaitingBytes = 65535;
// The part of the memory that waiting calls may take.
constexpr int64_t kWaitingPart = 16;

// The inverse of TotalBytes() in the bytes in flight: 5/4 of them and of the
// windows are gRPC's, and as many again are results.
int64_t InflightBytesFor(int64_t usable, int64_t waiting_bytes) {
  return (usable - kOwnBytes - waiting_bytes * 5 / 4) * 4 / 9;
}

}  // namespace

MemoryPlan PlanMemory(int64_t usable) {
  usable = std::clamp(usable, kLeastUsable, kMostUsable);
  MemoryPlan plan;
  const int64_t waiting = usable / kWaitingPart;
  plan.waiting_bytes = kWaitingBytes;
  plan.inflight_requests =
      std::min(kMostInflightRequests, waiting / plan.waiting_bytes);
  plan.inflight_bytes = std::min(
      kMostInflightBytes,
      InflightBytesFor(usable, plan.inflight_requests * plan.waiting_bytes));
  plan.message_bytes = std::min(kMostMessageBytes, plan.inflight_bytes * 2 / 3);
  return plan;
}

int64_t TransportBytes(const MemoryPlan& plan) {
  // Flags may name any numbers; this keeps the sum from overflowing.
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 8;
  // One message may be received whatever the budget.
  const int64_t messages =
      std::min(kMost, std::max(plan.inflight_bytes, plan.message_bytes));
  const int64_t windows =
      std::min(kMost / plan.waiting_bytes, plan.inflight_requests) *
      plan.waiting_bytes;
  return (messages + windows) / 4 * 5;
}

int64_t TotalBytes(const MemoryPlan& plan) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 4;
  return kOwnBytes + std::min(kMost, TransportBytes(plan)) +
         std::min(kMost, plan.inflight_bytes);
}

int64_t KeptHeapBytes(int64_t usable) {
  return std::clamp(usable / 64, kMebi, 64 * kMebi);
}

}  // namespace lossd
