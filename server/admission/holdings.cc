#include "server/admission/holdings.h"

#include <algorithm>
#include <limits>

namespace lossd::admission {

Holdings::Holdings() : cells_(kRows * kCells) {}

Holding Holdings::Of(uint64_t flow) const {
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  Holding least = {.bytes = most, .requests = most, .answered = most};
  for (size_t row = 0; row < kRows; ++row) {
    const Cell& cell = cells_[IndexOf(flow, row)];
    const uint64_t counts = cell.counts.load();
    const auto requests = static_cast<int64_t>(counts % kOneAnswered);
    const auto answered = static_cast<int64_t>(counts / kOneAnswered);
    least.bytes = std::min(least.bytes, cell.bytes.load());
    least.requests = std::min(least.requests, requests);
    least.answered = std::min(least.answered, answered);
  }
  return least;
}

void Holdings::AddRequest(uint64_t flow, int64_t bytes) {
  AddCounts(flow, kOneRequest);
  AddBytes(flow, bytes);
}

void Holdings::MarkAnswered(uint64_t flow) { AddCounts(flow, kOneAnswered); }

void Holdings::RemoveRequest(uint64_t flow, int64_t bytes, bool answered) {
  AddBytes(flow, -bytes);
  AddCounts(flow, 0 - kOneRequest - (answered ? kOneAnswered : 0));
}

void Holdings::AddCounts(uint64_t flow, uint64_t counts) {
  for (size_t row = 0; row < kRows; ++row) {
    cells_[IndexOf(flow, row)].counts.fetch_add(counts);
  }
}

void Holdings::AddBytes(uint64_t flow, int64_t bytes) {
  for (size_t row = 0; row < kRows; ++row) {
    cells_[IndexOf(flow, row)].bytes.fetch_add(bytes);
  }
}

}  // namespace lossd::admission
