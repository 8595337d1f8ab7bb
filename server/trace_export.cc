#include "server/trace_export.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <string>
#include <utility>

#include "base/version.h"
#include "server/observability/metric_list.h"
#include "server/tracing/otlp_http_exporter.h"

namespace lossd {
namespace {

// Returns what OpenTelemetry calls the resource: this process.
tracing::Attributes ResourceOf(const Config& config) {
  std::array<char, HOST_NAME_MAX + 1> host{};
  gethostname(host.data(), HOST_NAME_MAX);
  return {{"service.name", config.otlp_service_name},
          {"service.version", std::string(kVersion)},
          {"host.name", std::string(host.data())},
          {"process.pid", static_cast<int64_t>(getpid())}};
}

void AddSpanMetrics(const tracing::BatchSpanProcessor* spans,
                    observability::Metrics* metrics) {
  namespace metric = observability::metric;
  metrics->AddGauge(metric::kSpansExported, [spans] {
    return static_cast<double>(spans->exported_spans());
  });
  metrics->AddGaugeByLabel(metric::kSpansDropped, "reason", [spans] {
    const auto dropped = spans->dropped_spans();
    return observability::Metrics::ValueByLabel(dropped.begin(), dropped.end());
  });
}

}  // namespace

std::unique_ptr<tracing::BatchSpanProcessor> MakeSpanProcessor(
    const Config& config, const Clock* clock, observability::Metrics* metrics) {
  if (config.otlp_endpoint.empty()) return nullptr;
  tracing::BatchSpanProcessorOptions options;
  options.resource = ResourceOf(config);
  auto spans = std::make_unique<tracing::BatchSpanProcessor>(
      std::move(options),
      std::make_unique<tracing::OtlpHttpExporter>(config.otlp_endpoint), clock);
  AddSpanMetrics(spans.get(), metrics);
  return spans;
}

}  // namespace lossd
