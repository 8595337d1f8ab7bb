#include "bench/load/session_load.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/cpp/client.h"

namespace lossd::bench {
namespace {

using client::CallOptions;
using client::LossRequest;
using client::LossResult;
using client::TensorView;

TensorView ViewOf(const v1::Tensor& tensor) {
  return {.dtype = tensor.dtype(),
          .shape = {tensor.shape().begin(), tensor.shape().end()},
          .bytes = std::as_bytes(std::span(tensor.data()))};
}

// A load while it runs. The counters of a session belong to its thread.
class SessionLoad {
 public:
  SessionLoad(const LoadOptions& options,
              const std::vector<v1::ComputeLossRequest>& requests)
      : options_(options),
        tickets_(options.requests > 0 ? options.requests
                                      : std::numeric_limits<int64_t>::max()),
        begin_(absl::Now()) {
    for (int i = 0; i < options.concurrency; ++i) {
      Place& place = places_.emplace_back();
      place.message = &requests[static_cast<size_t>(i) % requests.size()];
      place.request = {.spec = place.message->spec(),
                       .logits = ViewOf(place.message->logits()),
                       .targets = ViewOf(place.message->targets())};
    }
  }

  absl::Status Open(const std::string& target, int sessions) {
    auto made = client::Client::Create(
        {.target = target, .channels = sessions, .job = options_.job});
    if (!made.ok()) return made.status();
    client_ = *std::move(made);
    // All that the load has in flight goes into the stream, however large.
    constexpr int64_t kNoBound = std::numeric_limits<int64_t>::max();
    const client::SessionOptions session_options{
        .max_unanswered = std::max(1000, options_.concurrency),
        .max_unanswered_bytes = kNoBound,
        .own_call_above_bytes = kNoBound};
    for (int i = 0; i < sessions; ++i) {
      auto session = client_->StartSession(session_options);
      if (!session.ok()) return session.status();
      sessions_.push_back({.session = *std::move(session)});
    }
    for (size_t i = 0; i < places_.size(); ++i) {
      places_[i].session = &sessions_[i % sessions_.size()];
    }
    return absl::OkStatus();
  }

  LoadReport Run() {
    begin_ = absl::Now();
    for (Place& place : places_) StartOrRetire(place);
    AwaitRetired();
    LoadReport report;
    report.elapsed = absl::Now() - begin_;
    for (Lane& lane : sessions_) {
      lane.session->Close();
      Add(lane.report, report);
    }
    return report;
  }

 private:
  struct Lane {
    std::unique_ptr<client::Session> session;
    LoadReport report;
  };

  // A place for one request in flight.
  struct Place {
    Lane* session = nullptr;
    const v1::ComputeLossRequest* message = nullptr;
    LossRequest request;
    absl::Time start;
  };

  void StartOrRetire(Place& place) {
    place.start = absl::Now();
    if (place.start < begin_ + options_.duration &&
        tickets_.fetch_sub(1, std::memory_order_relaxed) > 0) {
      return Start(place);
    }
    absl::MutexLock lock(&mu_);
    ++retired_;
  }

  void Start(Place& place) {
    const CallOptions call{.deadline = place.start + options_.timeout};
    auto done = [this, &place](const absl::StatusOr<LossResult>& result) {
      Record(place, result);
      StartOrRetire(place);
    };
    client::Session& session = *place.session->session;
    if (place.message->logits().has_shared_memory()) {
      session.ComputeLossAsync(*place.message, call, std::move(done));
    } else {
      session.ComputeLossAsync(place.request, call, std::move(done));
    }
  }

  void Record(const Place& place, const absl::StatusOr<LossResult>& result) {
    LoadReport& report = place.session->report;
    if (!result.ok()) {
      ++report.errors[absl::StatusCodeToString(result.status().code())];
      return;
    }
    ++report.succeeded;
    if (result->gradient) {
      report.reply_bytes = static_cast<int64_t>(result->gradient->byte_size());
    }
    const absl::Duration latency = absl::Now() - place.start;
    report.latency.Record(latency);
    if (latency <= options_.timeout) ++report.in_time;
  }

  void AwaitRetired() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](SessionLoad* load) ABSL_EXCLUSIVE_LOCKS_REQUIRED(load->mu_) {
          return load->retired_ == load->places_.size();
        },
        this));
  }

  static void Add(const LoadReport& part, LoadReport& sum) {
    sum.latency.Merge(part.latency);
    sum.succeeded += part.succeeded;
    sum.in_time += part.in_time;
    sum.reply_bytes = std::max(sum.reply_bytes, part.reply_bytes);
    for (const auto& [code, count] : part.errors) sum.errors[code] += count;
  }

  // These are constant once the load runs. Elements of deques do not move.
  const LoadOptions& options_;
  std::deque<Place> places_;
  std::unique_ptr<client::Client> client_;
  std::deque<Lane> sessions_;

  std::atomic<int64_t> tickets_;
  absl::Time begin_;

  absl::Mutex mu_;
  size_t retired_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

absl::StatusOr<LoadReport> RunSessionLoad(
    const LoadOptions& options, const std::string& target, int sessions,
    const std::vector<v1::ComputeLossRequest>& requests) {
  SessionLoad load(options, requests);
  if (absl::Status s = load.Open(target, sessions); !s.ok()) return s;
  return load.Run();
}

}  // namespace lossd::bench
