#include "server/observability/server_families.h"

#include <prometheus/metric_family.h>

#include <array>
#include <functional>
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

// The values of the label, in the order of enum Method.
constexpr std::array<const char*, kMethods> kMethodNames = {
    "ComputeLoss", "StreamLoss", "ComputeLosses", "ComputeLossesStream",
    "GetServerInfo"};

constexpr std::array kRefusals = {"bytes", "requests", "share", "deadline",
                                  "draining"};

std::string CodeName(size_t code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

using ShardList = PerThread<Shard>::List;

// Returns the sum of one cell of each shard. `pick`, a member or a function of
// the shard, says which.
template <typename Pick>
double Sum(const ShardList& shards, Pick pick) {
  int64_t sum = 0;
  for (const auto& shard : shards) sum += std::invoke(pick, *shard).Read();
  return static_cast<double>(sum);
}

template <typename Pick>
HistogramTotals SumHistogram(const ShardList& shards, Pick pick) {
  using Picked = std::remove_cvref_t<std::invoke_result_t<Pick, const Shard&>>;
  HistogramTotals totals(Picked::scale());
  for (const auto& shard : shards) totals.Add(std::invoke(pick, *shard));
  return totals;
}

// Returns the sums by label, at least those of the labels in `sums`.
std::map<std::string, int64_t> SumByLabel(const ShardList& shards,
                                          ByLabel<Cell> Shard::*cells,
                                          std::map<std::string, int64_t> sums) {
  for (const auto& shard : shards) {
    (shard.get()->*cells)
        .ForEach([&](const std::string& label, const Cell& cell) {
          sums[label] += cell.Read();
        });
  }
  return sums;
}

// Returns a family with a sample for each label.
MetricFamily FamilyByLabel(const MetricInfo& metric, const char* label_name,
                           const std::map<std::string, int64_t>& sums) {
  MetricFamily family = EmptyFamily(metric);
  for (const auto& [label, sum] : sums) {
    AddValue(family, {{label_name, label}}, static_cast<double>(sum));
  }
  return family;
}

void AddEnds(const ShardList& shards, std::vector<MetricFamily>& out) {
  MetricFamily requests = EmptyFamily(metric::kRequests);
  MetricFamily seconds = EmptyFamily(metric::kRequestSeconds);
  for (size_t m = 0; m < kMethods; ++m) {
    for (size_t code = 0; code < kStatusCodes; ++code) {
      const auto cell = [&](const Shard& s) -> const Cell& {
        return s.finished[m][code];
      };
      AddValue(requests,
               {{"method", kMethodNames[m]}, {"code", CodeName(code)}},
               Sum(shards, cell));
    }
    const auto histogram = [&](const Shard& s) -> const Histogram<kSeconds>& {
      return s.request_seconds[m];
    };
    AddHistogram(seconds, {{"method", kMethodNames[m]}},
                 SumHistogram(shards, histogram), kNanosecondsPerSecond);
  }
  out.push_back(std::move(requests));
  out.push_back(std::move(seconds));
}

void AddBeginnings(const ShardList& shards, std::vector<MetricFamily>& out) {
  MetricFamily accepted = EmptyFamily(metric::kAccepted);
  for (size_t m = 0; m < kMethods; ++m) {
    const auto cell = [&](const Shard& s) -> const Cell& {
      return s.accepted[m];
    };
    AddValue(accepted, {{"method", kMethodNames[m]}}, Sum(shards, cell));
  }
  out.push_back(std::move(accepted));
  std::map<std::string, int64_t> reasons;
  for (const char* reason : kRefusals) reasons[reason] = 0;
  out.push_back(
      FamilyByLabel(metric::kRejected, "reason",
                    SumByLabel(shards, &Shard::rejected, std::move(reasons))));
}

void AddTraffic(const ShardList& shards, std::vector<MetricFamily>& out) {
  out.push_back(
      FamilyOf(metric::kReceivedBytes, Sum(shards, &Shard::received_bytes)));
  out.push_back(FamilyOf(metric::kSentBytes, Sum(shards, &Shard::sent_bytes)));
  out.push_back(FamilyOf(metric::kNanLogits, Sum(shards, &Shard::nan_logits)));
}

void AddElements(const ShardList& shards, std::vector<MetricFamily>& out) {
  MetricFamily elements = EmptyFamily(metric::kElements);
  for (size_t loss = 0; loss < kLossKindCount; ++loss) {
    for (const ElementType type : kFloatTypes) {
      const auto cell = [&](const Shard& s) -> const Cell& {
        return s.elements[loss][static_cast<size_t>(type)];
      };
      AddValue(
          elements,
          {{"loss", std::string(Name(static_cast<kernels::LossKind>(loss)))},
           {"dtype", std::string(Name(type))}},
          Sum(shards, cell));
    }
  }
  out.push_back(std::move(elements));
}

// Adds the family of a histogram without labels. Returns the histogram's sum.
template <typename Pick>
int64_t AddHistogramOf(const MetricInfo& metric, const ShardList& shards,
                       Pick pick, double per_unit,
                       std::vector<MetricFamily>& out) {
  const HistogramTotals totals = SumHistogram(shards, pick);
  MetricFamily family = EmptyFamily(metric);
  AddHistogram(family, {}, totals, per_unit);
  out.push_back(std::move(family));
  return totals.sum;
}

// Returns the nanoseconds that executors spent.
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
  MetricFamily compute = EmptyFamily(metric::kComputeSeconds);
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
  std::map<std::string, int64_t> devices;
  if (absl::StartsWith(backend, "cuda/")) devices[backend] = 0;
  out.push_back(FamilyByLabel(
      metric::kDeviceErrors, "device",
      SumByLabel(shards, &Shard::device_errors, std::move(devices))));
}

// No refusal by admission has one of these codes, so no call counts twice.
constexpr std::array kFaults = {absl::StatusCode::kInvalidArgument,
                                absl::StatusCode::kNotFound,
                                absl::StatusCode::kPermissionDenied,
                                absl::StatusCode::kUnauthenticated,
                                absl::StatusCode::kFailedPrecondition,
                                absl::StatusCode::kUnimplemented,
                                absl::StatusCode::kInternal};

int64_t CountOf(const ShardList& shards, absl::StatusCode code) {
  int64_t count = 0;
  for (const auto& shard : shards) {
    for (const auto& ends : shard->finished) {
      count += ends[static_cast<size_t>(code)].Read();
    }
  }
  return count;
}

}  // namespace

std::map<std::string, int64_t> CollectRefusals(const PerThread<Shard>& shards) {
  std::map<std::string, int64_t> refusals;
  shards.Read([&](const ShardList& list) {
    refusals = SumByLabel(list, &Shard::rejected, {});
    for (const absl::StatusCode code : kFaults) {
      refusals[absl::StatusCodeToString(code)] = CountOf(list, code);
    }
  });
  return refusals;
}

ServerFamilies CollectServer(const PerThread<Shard>& shards,
                             const std::string& backend) {
  ServerFamilies result;
  std::vector<MetricFamily>& out = result.families;
  shards.Read([&](const ShardList& list) {
    AddEnds(list, out);  // before the beginnings: see Cell
    AddBeginnings(list, out);
    AddTraffic(list, out);
    AddElements(list, out);
    AddHistogramOf(metric::kBatchRequests, list, &Shard::batch_requests, 1,
                   out);
    AddHistogramOf(metric::kBatchElements, list, &Shard::batch_elements, 1,
                   out);
    result.queue_nanoseconds =
        AddHistogramOf(metric::kQueueSeconds, list, &Shard::queue_seconds,
                       kNanosecondsPerSecond, out);
    result.compute_nanoseconds = AddCompute(list, backend, out);
    AddDeviceErrors(list, backend, out);
  });
  return result;
}

}  // namespace lossd::observability
