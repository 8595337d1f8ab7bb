#include "server/observability/refusal_log.h"

#include <utility>

#include "server/observability/log.h"

namespace lossd::observability {

void RefusalLog::Report() {
  std::map<std::string, int64_t> refusals = source_();
  for (const auto& [reason, count] : refusals) {
    const int64_t fresh = count - reported_[reason];
    if (fresh == 0) continue;
    LogWarning("refused", {{"reason", reason}, {"count", fresh}});
  }
  reported_ = std::move(refusals);
}

}  // namespace lossd::observability
