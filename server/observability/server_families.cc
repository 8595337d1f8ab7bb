#include "server/observability/server_families.h"

#include <prometheus/metric_family.h>

#include <array>
#include <map>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "kernels/sigmoid_loss.h"
#include "server/observability/families.h"

namespace lossd::observability {
namespace {

using prometheus::MetricFamily;

constexpr double kNanosecondsPerSecond = 1e9;

// As the RPCs are called in the proto; in the order of enum Method.
constexpr std::array<const char*, kMethods> kMethodNames = {
    "ComputeLoss", "StreamLoss", "GetServerInfo"};

constexpr std::array kRefusals = {"bytes", "requests", "share", "deadline",
                                  "draining"};

std::string CodeName(size_t code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

using ShardList = PerThread<Shard>::List;

// The sum of the cells that `pick` finds, one in each shard.
template <typename Pick>
int64_t Sum(const ShardList& shards, Pick pick) {
  int64_t sum = 0;
  for (const auto& shard : shards) sum += pick(*shard).Read();
  return sum;
}

template <typename Pick>
HistogramTotals SumHistogram(const ShardList& shards, Pick pick) {
  using Picked = std::remove_cvref_t<decltype(pick(*shards.front()))>;
  HistogramTotals totals(Picked::scale());
  for (const auto& shard : shards) totals.Add(pick(*shard));
  return totals;
}

// The labels of `known` are there even if nothing was counted under them.
template <typename Pick>
std::map<std::string, int64_t> SumByLabel(
    const ShardList& shards, Pick pick, std::map<std::string, int64_t> known) {
  for (const auto& shard : shards) {
    pick(*shard).ForEach([&](const std::string& label, const Cell& cell) {
      known[label] += cell.Read();
    });
  }
  return known;
}

void AddEnds(const ShardList& shards, std::vector<MetricFamily>& out) {
  auto requests = EmptyCounterFamily(
      "lossd_requests_total",
      "Calls that ended, by status code: OK, CANCELLED (the client went away), "
      "DEADLINE_EXCEEDED (expired), and errors.");
  auto seconds = EmptyHistogramFamily("lossd_request_seconds",
                                      "Time from taking a call off the wire to "
                                      "the end of its reply, in seconds.");
  for (size_t m = 0; m < kMethods; ++m) {
    for (size_t code = 0; code < kStatusCodes; ++code) {
      AddCounter(requests,
                 {{"method", kMethodNames[m]}, {"code", CodeName(code)}},
                 Sum(
                     shards, [&](const Shard& s) -> auto& {
                       return s.finished[m][code];
                     }));
    }
    AddHistogram(
        seconds, {{"method", kMethodNames[m]}},
        SumHistogram(
            shards,
            [&](const Shard& s) -> auto& { return s.request_seconds[m]; }),
        kNanosecondsPerSecond);
  }
  out.push_back(std::move(requests));
  out.push_back(std::move(seconds));
}

void AddBeginnings(const ShardList& shards, std::vector<MetricFamily>& out) {
  auto accepted = EmptyCounterFamily(
      "lossd_accepted_total",
      "Calls taken off the wire; each ends once, in lossd_requests_total.");
  for (size_t m = 0; m < kMethods; ++m) {
    AddCounter(
        accepted, {{"method", kMethodNames[m]}},
        Sum(
            shards, [&](const Shard& s) -> auto& { return s.accepted[m]; }));
  }
  auto rejected = EmptyCounterFamily("lossd_rejected_total",
                                     "Calls refused by admission, by reason; "
                                     "they are in lossd_requests_total too.");
  std::map<std::string, int64_t> reasons;
  for (const char* reason : kRefusals) reasons[reason] = 0;
  reasons = SumByLabel(
      shards, [](const Shard& s) -> auto& { return s.rejected; },
      std::move(reasons));
  for (const auto& [reason, count] : reasons) {
    AddCounter(rejected, {{"reason", reason}}, count);
  }
  out.push_back(std::move(accepted));
  out.push_back(std::move(rejected));
}

void AddTraffic(const ShardList& shards, std::vector<MetricFamily>& out) {
  out.push_back(CounterFamily(
      "lossd_received_bytes_total", "Request bytes received, in bytes.",
      Sum(
          shards, [](const Shard& s) -> auto& { return s.received_bytes; })));
  out.push_back(CounterFamily(
      "lossd_sent_bytes_total", "Reply bytes sent, in bytes.",
      Sum(
          shards, [](const Shard& s) -> auto& { return s.sent_bytes; })));
  out.push_back(CounterFamily(
      "lossd_nan_logits_total", "Logits that were NaN.",
      Sum(
          shards, [](const Shard& s) -> auto& { return s.nan_logits; })));
  auto elements =
      EmptyCounterFamily("lossd_elements_total",
                         "Elements computed, by loss and by the logits' type.");
  for (size_t loss = 0; loss < kLossKinds; ++loss) {
    for (const ElementType type : kFloatTypes) {
      AddCounter(
          elements,
          {{"loss", std::string(Name(static_cast<kernels::LossKind>(loss)))},
           {"dtype", std::string(Name(type))}},
          Sum(
              shards, [&](const Shard& s) -> auto& {
                return s.elements[loss][static_cast<size_t>(type)];
              }));
    }
  }
  out.push_back(std::move(elements));
}

// Returns the nanoseconds that tasks waited.
int64_t AddBatches(const ShardList& shards, std::vector<MetricFamily>& out) {
  auto requests = EmptyHistogramFamily("lossd_batch_requests",
                                       "Requests in a batch, when taken.");
  AddHistogram(
      requests, {},
      SumHistogram(
          shards, [](const Shard& s) -> auto& { return s.batch_requests; }),
      1);
  auto elements = EmptyHistogramFamily("lossd_batch_elements",
                                       "Elements in a batch, when taken.");
  AddHistogram(
      elements, {},
      SumHistogram(
          shards, [](const Shard& s) -> auto& { return s.batch_elements; }),
      1);
  auto queue = EmptyHistogramFamily(
      "lossd_queue_seconds", "Time a task waited in the queue, in seconds.");
  const HistogramTotals waits = SumHistogram(
      shards, [](const Shard& s) -> auto& { return s.queue_seconds; });
  AddHistogram(queue, {}, waits, kNanosecondsPerSecond);
  out.push_back(std::move(requests));
  out.push_back(std::move(elements));
  out.push_back(std::move(queue));
  return waits.sum;
}

// Returns the nanoseconds that were spent.
int64_t AddCompute(const ShardList& shards, const std::string& backend,
                   std::vector<MetricFamily>& out) {
  std::map<std::string, HistogramTotals> totals;
  totals.emplace(backend, kSeconds);
  for (const auto& shard : shards) {
    shard->compute_seconds.ForEach(
        [&](const std::string& label, const auto& histogram) {
          totals.try_emplace(label, kSeconds).first->second.Add(histogram);
        });
  }
  auto compute =
      EmptyHistogramFamily("lossd_compute_seconds",
                           "Time an executor spent on a batch, in seconds.");
  int64_t sum = 0;
  for (const auto& [label, histogram] : totals) {
    AddHistogram(compute, {{"backend", label}}, histogram,
                 kNanosecondsPerSecond);
    sum += histogram.sum;
  }
  out.push_back(std::move(compute));
  return sum;
}

void AddDeviceErrors(const ShardList& shards, const std::string& backend,
                     std::vector<MetricFamily>& out) {
  auto errors = EmptyCounterFamily(
      "lossd_device_errors_total",
      "Calls to a device that failed. What it was to compute was computed "
      "all the same, in smaller batches, by another device or by the CPU, "
      "unless it lay in the device's memory.");
  std::map<std::string, int64_t> devices;
  if (absl::StartsWith(backend, "cuda/")) devices[backend] = 0;
  devices = SumByLabel(
      shards, [](const Shard& s) -> auto& { return s.device_errors; },
      std::move(devices));
  for (const auto& [device, count] : devices) {
    AddCounter(errors, {{"device", device}}, count);
  }
  out.push_back(std::move(errors));
}

}  // namespace

ServerFamilies CollectServer(const PerThread<Shard>& shards,
                             const std::string& backend) {
  ServerFamilies result;
  shards.Read([&](const ShardList& list) {
    AddEnds(list, result.families);  // before the beginnings: see Cell
    AddBeginnings(list, result.families);
    AddTraffic(list, result.families);
    result.queue_nanoseconds = AddBatches(list, result.families);
    result.compute_nanoseconds = AddCompute(list, backend, result.families);
    AddDeviceErrors(list, backend, result.families);
  });
  return result;
}

}  // namespace lossd::observability
