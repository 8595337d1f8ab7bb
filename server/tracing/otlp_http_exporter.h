// Sends spans to a collector by OTLP/HTTP, in protobuf.
#ifndef LOSSD_SERVER_TRACING_OTLP_HTTP_EXPORTER_H_
#define LOSSD_SERVER_TRACING_OTLP_HTTP_EXPORTER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/tracing/span_exporter.h"

namespace lossd::tracing {

// Returns OK if spans can be sent to the URL. Otherwise the message of the
// error says what an endpoint must be.
absl::Status CheckEndpoint(const std::string& url);

// Keeps its connection open from one export to the next. Uses no proxy and
// follows no redirect. https needs a certificate that the system trusts.
class OtlpHttpExporter final : public SpanExporter {
 public:
  // `endpoint` passes CheckEndpoint(); spans are posted to exactly this URL.
  explicit OtlpHttpExporter(const std::string& endpoint);
  ~OtlpHttpExporter() override;

  ExportResult Export(const ExportRequest& request,
                      absl::Duration timeout) override;

 private:
  class Connection;
  const std::unique_ptr<Connection> connection_;
};

}  // namespace lossd::tracing

#endif  // LOSSD_SERVER_TRACING_OTLP_HTTP_EXPORTER_H_
