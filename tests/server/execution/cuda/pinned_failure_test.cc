// Every device call fails in turn while requests have their tensors in shared
// memory that the devices copy by themselves. Each request must be answered
// once, with the right bits, and no page is unpinned while a device uses it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/server/execution/cuda/faulty_run.h"

namespace lossd::execution::cuda {
namespace {

bool IsShared(unsigned seed) { return seed % 4 != 3; }

// Most shared tensors are large enough for copies of their own, and together
// they are more than may be pinned.
const FaultyRunPolicy& Policy() {
  static const auto& policy = *new FaultyRunPolicy{
      .sizes = {70000, 500, 40000, 30000, 20001, 90000, 2048, 50},
      .max_batch_requests = 3,
      .counted_every = 3,
      .is_shared = &IsShared};
  return policy;
}

class EveryCallWithPinnedRegions : public ::testing::TestWithParam<DeviceCall> {
};

// The search ends when `nth` is beyond the calls of a run, so that none fails.
TEST_P(EveryCallWithPinnedRegions, MayFailAndNothingIsLost) {
  constexpr int kManyCalls = 300;
  const std::vector<LentAnswer> expected = ExpectedAnswers(Policy());
  int direct = 0;
  for (const absl::Status& why : {absl::InternalError("asked for"),
                                  absl::ResourceExhaustedError("asked for"),
                                  absl::UnavailableError("asked for")}) {
    const int all = GetParam() == DeviceCall::kDrain ? 2 : 1;
    int nth = 0;
    for (bool failed = true; failed; ++nth) {
      ASSERT_LT(nth, kManyCalls);
      SCOPED_TRACE(testing::Message() << why << ", call " << nth);
      FaultyRun run(Policy(), GetParam(), nth, why);
      run.Ask();
      run.ExpectAnswers(expected);
      EXPECT_EQ(run.dropped(), 0);
      direct += run.direct_copies();
      run.End();
      failed = run.failures() == all;
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(direct, 0);
}

std::string NameOf(const testing::TestParamInfo<DeviceCall>& info) {
  switch (info.param) {
    case DeviceCall::kPin:
      return "Pin";
    case DeviceCall::kUnpin:
      return "Unpin";
    case DeviceCall::kCopyToDevice:
      return "CopyToDevice";
    case DeviceCall::kCopyToHost:
      return "CopyToHost";
    case DeviceCall::kWait:
      return "Wait";
    case DeviceCall::kDrain:
      return "Drain";
    default:
      return "OfAnyKind";
  }
}

INSTANTIATE_TEST_SUITE_P(Call, EveryCallWithPinnedRegions,
                         testing::Values(DeviceCall::kPin, DeviceCall::kUnpin,
                                         DeviceCall::kCopyToDevice,
                                         DeviceCall::kCopyToHost,
                                         DeviceCall::kWait, DeviceCall::kDrain,
                                         DeviceCall::kCount),
                         &NameOf);

}  // namespace
}  // namespace lossd::execution::cuda
