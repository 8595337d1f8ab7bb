// Tests the C++ client against several servers, which are ended in turns.
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cpp/client.h"
#include "tests/integration/server_process.h"

namespace lossd {
namespace {

using client::LossRequest;
using client::LossResult;
using client::TensorView;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr int kTimes = 6;

// A request, and the bytes of its gradient that one server answered.
struct Sample {
  std::vector<float> logits;
  std::vector<float> targets;
  std::string expected;

  LossRequest request() const {
    const auto count = static_cast<int64_t>(logits.size());
    return {.logits = TensorView::Of<float>(logits, {count}),
            .targets = TensorView::Of<float>(targets, {count})};
  }
};

std::string BytesOf(const LossResult& result) {
  std::string bytes(result.gradient->byte_size(), '\0');
  EXPECT_TRUE(
      result.gradient->CopyTo(std::as_writable_bytes(std::span(bytes))).ok());
  return bytes;
}

Sample MakeSample(const std::string& address, int count, int seed) {
  Sample sample;
  for (int i = 0; i < count; ++i) {
    sample.logits.push_back(static_cast<float>((i * 37 + seed) % 101 - 50) / 8);
    sample.targets.push_back(static_cast<float>((i * 13 + seed) % 2));
  }
  auto client = client::Client::Create({.target = address});
  auto result = (*client)->ComputeLoss(sample.request());
  EXPECT_TRUE(result.ok()) << result.status();
  if (result.ok()) sample.expected = BytesOf(*result);
  return sample;
}

// Asks on a thread of its own until it is stopped, and counts the outcomes.
class Load {
 public:
  using Ask = std::function<absl::StatusOr<LossResult>(const Sample& sample)>;

  Load(const Sample& sample, Ask ask)
      : sample_(sample), ask_(std::move(ask)), thread_([this] { Run(); }) {}
  ~Load() { Stop(); }

  // Returns false if there are not so many more outcomes in time.
  bool WaitForMore(int count) {
    absl::MutexLock lock(&mu_);
    goal_ = total_ + count;
    return mu_.AwaitWithTimeout(
        absl::Condition(
            +[](Load* load) { return load->total_ >= load->goal_; }, this),
        kPatience);
  }

  std::map<std::string, int> Stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
    absl::MutexLock lock(&mu_);
    return outcomes_;
  }

 private:
  void Run() {
    while (!stopped_) {
      const absl::StatusOr<LossResult> result = ask_(sample_);
      const std::string outcome = !result.ok() ? result.status().ToString()
                                  : BytesOf(*result) == sample_.expected
                                      ? "answered"
                                      : "other bits";
      absl::MutexLock lock(&mu_);
      ++outcomes_[outcome];
      ++total_;
    }
  }

  const Sample& sample_;
  const Ask ask_;
  std::atomic<bool> stopped_ = false;
  absl::Mutex mu_;
  std::map<std::string, int> outcomes_;
  int total_ = 0;
  int goal_ = 0;
  std::thread thread_;
};

client::CallOptions InTime() { return {.deadline = absl::Now() + kPatience}; }

Load::Ask Blocking(client::Client& client) {
  return [&client](const Sample& sample) {
    return client.ComputeLoss(sample.request(), InTime());
  };
}

Load::Ask Async(client::Client& client) {
  return [&client](const Sample& sample) {
    absl::Notification here;
    absl::StatusOr<LossResult> result;
    client.ComputeLossAsync(sample.request(), InTime(), [&](auto answer) {
      result = std::move(answer);
      here.Notify();
    });
    here.WaitForNotification();
    return result;
  };
}

// Has many requests under way, and returns the first answer that is wrong, or
// the last one.
Load::Ask InSession(client::Session& session) {
  return [&session](const Sample& sample) {
    constexpr int kUnderWay = 32;
    std::vector<absl::StatusOr<LossResult>> results(kUnderWay);
    absl::BlockingCounter here(kUnderWay);
    for (auto& result : results) {
      session.ComputeLossAsync(sample.request(), InTime(), [&](auto answer) {
        result = std::move(answer);
        here.DecrementCount();
      });
    }
    here.Wait();
    for (auto& result : results) {
      if (!result.ok() || BytesOf(*result) != sample.expected) {
        return std::move(result);
      }
    }
    return std::move(results.back());
  };
}

class SeveralServersTest : public testing::TestWithParam<int> {};

TEST_P(SeveralServersTest, NoCallFailsWhileServersEndAndComeBack) {
  std::array<ServerProcess, 3> servers;
  const std::string target =
      absl::StrCat(servers[0].address(), ",", servers[1].address(), ",",
                   servers[2].address());
  const Sample small = MakeSample(servers[0].address(), 64, 1);
  const Sample large = MakeSample(servers[1].address(), 500'000, 2);
  auto client = client::Client::Create({.target = target});
  // The large requests of this one are streams.
  auto streaming =
      client::Client::Create({.target = target, .stream_above_bytes = 1 << 20});
  ASSERT_TRUE(client.ok() && streaming.ok());
  auto session = (*client)->StartSession();
  ASSERT_TRUE(session.ok());
  std::vector<std::unique_ptr<Load>> loads;
  loads.push_back(std::make_unique<Load>(small, InSession(**session)));
  loads.push_back(std::make_unique<Load>(small, Blocking(**client)));
  loads.push_back(std::make_unique<Load>(small, Async(**client)));
  loads.push_back(std::make_unique<Load>(large, Blocking(**client)));
  loads.push_back(std::make_unique<Load>(large, Blocking(**streaming)));
  for (int time = 0; time < kTimes; ++time) {
    for (const auto& load : loads) ASSERT_TRUE(load->WaitForMore(3));
    servers[time % 3].Restart(GetParam());
  }
  for (const auto& load : loads) {
    EXPECT_TRUE(load->WaitForMore(3));
    const auto outcomes = load->Stop();
    EXPECT_EQ(outcomes.size(), 1) << testing::PrintToString(outcomes);
    EXPECT_TRUE(outcomes.contains("answered"));
  }
}

INSTANTIATE_TEST_SUITE_P(Signals, SeveralServersTest,
                         testing::Values(SIGKILL, SIGTERM),
                         [](const auto& param) {
                           return param.param == SIGKILL ? "Kill" : "Term";
                         });

TEST(SeveralServersClientTest, SharedMemoryIsRefused) {
  auto client = client::Client::Create({.target = "dns:///localhost:1"});
  auto session = (*client)->StartSession();
  v1::ComputeLossRequest request;
  request.mutable_logits()->mutable_shared_memory()->set_region("region");
  for (const absl::Status& status :
       {(*client)->ComputeLoss(request).status(),
        (*session)->ComputeLoss(request).status()}) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

TEST(SeveralServersClientTest, AListWithTlsNeedsOneName) {
  client::ClientOptions options = {.target = "a:1,b:1",
                                   .tls = client::TlsOptions()};
  const absl::Status status = client::Client::Create(options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message().substr(0, 17), "tls.server_name: ");
  options.tls->server_name = "a";
  EXPECT_TRUE(client::Client::Create(options).ok());
}

TEST(SeveralServersClientTest, TheBudgetAndTheDeadlineEndRetries) {
  // Nobody listens there, so each attempt fails at once.
  auto client = client::Client::Create(
      {.target = "127.0.0.1:1,127.0.0.1:2", .stream_above_bytes = 1});
  const std::vector<float> zeros(4);
  const LossRequest request = {.logits = TensorView::Of<float>(zeros, {4}),
                               .targets = TensorView::Of<float>(zeros, {4})};
  EXPECT_TRUE(absl::IsUnavailable((*client)->ComputeLoss(request).status()));
  const auto late = (*client)->ComputeLoss(
      request, {.deadline = absl::Now() + absl::Milliseconds(50)});
  EXPECT_TRUE(absl::IsUnavailable(late.status()) ||
              absl::IsDeadlineExceeded(late.status()))
      << late.status();
}

}  // namespace
}  // namespace lossd
