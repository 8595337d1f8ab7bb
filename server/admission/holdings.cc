#include "server/admission/holdings.h"

#include <algorithm>
#include <limits>

namespace lossd::admission {

Holdings::Holdings() : cells_(kRows * kCells) {}

Holding Holdings::Of(uint64_t flow) const {
  Holding least = {.bytes = std::numeric_limits<int64_t>::max(),
                   .requests = std::numeric_limits<int64_t>::max()};
  for (size_t row = 0; row < kRows; ++row) {
    const Cell& cell = cells_[IndexOf(flow, row)];
    least.bytes = std::min(least.bytes, cell.bytes.load());
    least.requests = std::min(least.requests, cell.requests.load());
  }
  return least;
}

void Holdings::AddRequest(uint64_t flow, int64_t bytes) {
  for (size_t row = 0; row < kRows; ++row) {
    cells_[IndexOf(flow, row)].requests.fetch_add(1);
  }
  AddBytes(flow, bytes);
}

void Holdings::RemoveRequest(uint64_t flow, int64_t bytes) {
  AddBytes(flow, -bytes);
  for (size_t row = 0; row < kRows; ++row) {
    cells_[IndexOf(flow, row)].requests.fetch_sub(1);
  }
}

void Holdings::AddBytes(uint64_t flow, int64_t bytes) {
  for (size_t row = 0; row < kRows; ++row) {
    cells_[IndexOf(flow, row)].bytes.fetch_add(bytes);
  }
}

}  // namespace lossd::admission
