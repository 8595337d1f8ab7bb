#include "server/request/broadcast_copy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "server/request/broadcasting.h"

namespace lossd::request {
namespace {

// Returns the element that broadcasting puts at `index`, by the definition.
uint64_t SourceIndex(const Dims& dims, const Dims& strides, uint64_t index) {
  uint64_t source = 0;
  for (size_t k = dims.size(); k-- > 0;) {
    source += index % dims[k] * strides[k];
    index /= dims[k];
  }
  return source;
}

TEST(CopyBroadcast, CopiesWhatBroadcastingPutsThere) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    Dims dims, own;
    uint64_t count = 1;
    for (unsigned k = 0; k < 1 + random() % 4; ++k) {
      dims.push_back(1 + random() % 7);
      own.push_back(random() % 2 == 0 ? 1 : dims.back());
      count *= dims.back();
    }
    const absl::StatusOr<Dims> strides =
        BroadcastStrides(wire::Field::kWeights, own, dims);
    ASSERT_TRUE(strides.ok());
    std::vector<uint32_t> source(count);
    for (uint32_t& element : source) element = random();
    const uint64_t first = random() % count;
    const uint64_t copied = 1 + random() % (count - first);
    std::vector<uint32_t> out(copied);
    CopyBroadcast(dims, *strides, sizeof(uint32_t),
                  reinterpret_cast<const std::byte*>(source.data()), first,
                  copied, reinterpret_cast<std::byte*>(out.data()));
    for (uint64_t i = 0; i < copied; ++i) {
      ASSERT_EQ(out[i], source[SourceIndex(dims, *strides, first + i)]) << i;
    }
  }
}

}  // namespace
}  // namespace lossd::request
