// Says in the log that calls were refused, without a line for each.
#ifndef LOSSD_SERVER_OBSERVABILITY_REFUSAL_LOG_H_
#define LOSSD_SERVER_OBSERVABILITY_REFUSAL_LOG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace lossd::observability {

// Sums up refused calls: one warning for each reason, with their number since
// the last report. The numbers come from the metrics, so nothing is recorded
// for the log alone. Used by one thread at a time.
class RefusalLog {
 public:
  // Returns the number of refusals so far, by reason.
  using Source = std::function<std::map<std::string, int64_t>()>;

  explicit RefusalLog(Source source) : source_(std::move(source)) {}

  // Writes the warnings. Reasons without a new refusal have none.
  void Report();

 private:
  const Source source_;
  std::map<std::string, int64_t> reported_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_REFUSAL_LOG_H_
