// Every device call fails in turn while clients lend two devices their tensors.
// Each request must be answered once: with the right bits or, if its tensors
// are on the failing device, with the reason why not. Everything that was taken
// must be given back.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/server/execution/cuda/faulty_run.h"

namespace lossd::execution::cuda {
namespace {

std::string LentTo(unsigned seed) {
  return seed % 3 == 2 ? "" : "cuda/" + std::to_string(seed % 3);
}

const FaultyRunPolicy& Policy() {
  static const auto& policy = *new FaultyRunPolicy{
      .sizes = {3000, 50, 7000, 2048, 1, 4097, 9000, 10, 640, 2049},
      .max_batch_requests = 4,
      .counted_every = 2,
      .lent_to = &LentTo};
  return policy;
}

class EveryCallWithLentTensors : public ::testing::TestWithParam<DeviceCall> {};

// The search ends when `nth` is beyond the calls of a run, so that none fails.
TEST_P(EveryCallWithLentTensors, MayFailAndHarmsNobodyElse) {
  constexpr int kManyCalls = 300;
  const std::vector<LentAnswer> expected = ExpectedAnswers(Policy());
  int dropped = 0;
  for (const absl::Status& why : {absl::InternalError("asked for"),
                                  absl::ResourceExhaustedError("asked for"),
                                  absl::UnavailableError("asked for")}) {
    int nth = 0;
    for (bool failed = true; failed; ++nth) {
      ASSERT_LT(nth, kManyCalls);
      SCOPED_TRACE(testing::Message() << why << ", call " << nth);
      FaultyRun run(Policy(), GetParam(), nth, why);
      run.Ask();
      run.ExpectAnswers(expected);
      run.End();
      failed = run.failures() > 0;
      dropped += run.dropped();
      EXPECT_TRUE(failed || run.dropped() == 0);
      if (testing::Test::HasFailure()) return;
    }
    EXPECT_GT(nth, 1);  // there are such calls
  }
  EXPECT_TRUE(GetParam() != DeviceCall::kLaunch || dropped > 0);
}

std::string NameOf(const testing::TestParamInfo<DeviceCall>& info) {
  switch (info.param) {
    case DeviceCall::kOpenIpc:
      return "OpenIpc";
    case DeviceCall::kCloseIpc:
      return "CloseIpc";
    case DeviceCall::kLaunch:
      return "Launch";
    default:
      return "OfAnyKind";
  }
}

INSTANTIATE_TEST_SUITE_P(Call, EveryCallWithLentTensors,
                         testing::Values(DeviceCall::kOpenIpc,
                                         DeviceCall::kCloseIpc,
                                         DeviceCall::kLaunch,
                                         DeviceCall::kCount),
                         &NameOf);

}  // namespace
}  // namespace lossd::execution::cuda
