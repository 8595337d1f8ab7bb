// Every device call fails in turn while two devices work in an order of their
// own. Each request must be answered once, with the right bits, and everything
// that was taken must be given back.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/server/execution/cuda/faulty_run.h"

namespace lossd::execution::cuda {
namespace {

const FaultyRunPolicy& Policy() {
  static const auto& policy =
      *new FaultyRunPolicy{.sizes = {3000, 50, 7000, 2048, 1, 4097, 15000, 10,
                                     640, 2049, 9000, 30000},
                           .max_batch_requests = 3,
                           .counted_every = 3};
  return policy;
}

const std::vector<LentAnswer>& Expected() {
  static const auto& expected =
      *new std::vector<LentAnswer>(ExpectedAnswers(Policy()));
  return expected;
}

struct Failure {
  const char* name;
  absl::Status status;
};

std::vector<Failure> Failures() {
  return {{"a passing error", absl::InternalError("asked for")},
          {"no memory", absl::ResourceExhaustedError("asked for")},
          {"a lost device", absl::UnavailableError("asked for")}};
}

class EveryCall : public ::testing::TestWithParam<DeviceCall> {};

// The search ends when `nth` is beyond the calls of a run, so that none fails.
TEST_P(EveryCall, MayFailAndNothingIsLost) {
  constexpr int kManyCalls = 200;
  for (const Failure& failure : Failures()) {
    const int all = GetParam() == DeviceCall::kDrain ? 2 : 1;
    int nth = 0;
    for (bool failed = true; failed; ++nth) {
      ASSERT_LT(nth, kManyCalls);
      SCOPED_TRACE(testing::Message() << failure.name << ", call " << nth);
      FaultyRun run(Policy(), GetParam(), nth, failure.status);
      const int before = run.failures();
      run.Ask();
      run.ExpectAnswers(Expected());
      const bool failed_meanwhile = run.failures() > before;
      // Memory that freeing kept buffers made available is no error.
      if (!absl::IsResourceExhausted(failure.status) || !failed_meanwhile) {
        EXPECT_EQ(run.errors() > 0, failed_meanwhile);
      }
      run.End();
      failed = run.failures() == all;
      if (testing::Test::HasFailure()) return;
    }
  }
}

std::string NameOf(const testing::TestParamInfo<DeviceCall>& info) {
  static constexpr const char* kNames[] = {
      "AllocatePinned", "FreePinned",    "Pin",         "Unpin",
      "AllocateDevice", "FreeDevice",    "OpenIpc",     "CloseIpc",
      "CreateStream",   "DestroyStream", "CreateEvent", "DestroyEvent",
      "CopyToDevice",   "CopyToHost",    "Launch",      "Record",
      "Happened",       "Wait",          "Drain",       "OfAnyKind"};
  return kNames[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(
    Call, EveryCall,
    testing::Values(DeviceCall::kAllocatePinned, DeviceCall::kFreePinned,
                    DeviceCall::kAllocateDevice, DeviceCall::kFreeDevice,
                    DeviceCall::kCreateStream, DeviceCall::kDestroyStream,
                    DeviceCall::kCreateEvent, DeviceCall::kDestroyEvent,
                    DeviceCall::kCopyToDevice, DeviceCall::kCopyToHost,
                    DeviceCall::kLaunch, DeviceCall::kRecord, DeviceCall::kWait,
                    DeviceCall::kDrain, DeviceCall::kCount),
    &NameOf);

}  // namespace
}  // namespace lossd::execution::cuda
